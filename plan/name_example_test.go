package plan_test

import (
	"errors"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleCheckName() {
	fmt.Println(plan.CheckName("web-2", plan.MaxServiceName))
	fmt.Println(plan.CheckName("Web", plan.MaxServiceName))
	fmt.Println(plan.CheckName("web", 2))
	// Output:
	// <nil>
	// "Web" is not a valid name: use lower-case letters, digits and hyphens, with a letter or digit at both ends
	// "web" has 3 characters, at most 2 are possible
}

func ExampleCheckEnvironment() {
	fmt.Println(plan.CheckEnvironment("shop", "Staging"))
	// Output: environment: "Staging" is not a valid name: use lower-case letters, digits and hyphens, with a letter or digit at both ends
}

func ExampleNameError() {
	err := plan.CheckName("My Shop", plan.MaxServiceName)
	var wrong *plan.NameError
	if errors.As(err, &wrong) {
		fmt.Println("write", wrong.Suggestion())
	}
	// Output: write my-shop
}

func ExampleNameFrom() {
	fmt.Println(plan.NameFrom("feature/Faster Search!", 30))
	// Output: feature-faster-search
}

func ExampleNamespace() {
	fmt.Println(plan.Namespace("shop", "staging"))
	// Output: shop-staging
}
