package plan_test

import (
	"errors"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExamplePipeline_NamespaceOf() {
	p := plan.Pipeline{Name: "shop"}
	fmt.Println(p.NamespaceOf("staging"))
	p.Namespace = "team-{pipeline}-{environment}"
	fmt.Println(p.NamespaceOf("staging"))
	// Output:
	// shop-staging
	// team-shop-staging
}

func ExampleCheckNamespace() {
	p := plan.Pipeline{Name: "shop", Namespace: "Team_{environment}"}
	fmt.Println(plan.CheckNamespace(p, "staging"))
	// Output: "Team_staging" is not a valid name: use lower-case letters, digits and hyphens, with a letter or digit at both ends
}

func ExampleFieldError() {
	err := plan.CheckNamespace(plan.Pipeline{Name: "shop", Namespace: "{pipeline}-{env}"}, "staging")
	var field *plan.FieldError
	fmt.Println(errors.As(err, &field), field.Field)
	// Output: true {env}
}

func ExampleReserved() {
	fmt.Println(plan.Reserved("kube-system"), plan.Reserved("shop-staging"))
	// Output: true false
}
