package plan_test

import (
	"fmt"
	"os"

	"github.com/pipelinefile/pipe/plan"
)

func ExamplePlan_JSON() {
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages: []plan.Stage{}, Services: []plan.Service{}, Builds: []plan.BuildSpec{}, Inputs: []plan.Input{},
	}
	data, err := p.JSON()
	if err != nil {
		fmt.Println(err)
	}
	os.Stdout.Write(data)
	// Output:
	// {
	//   "version": 1,
	//   "pipeline": {
	//     "name": "shop",
	//     "build_parallelism": 0,
	//     "deploy_parallelism": 0,
	//     "pos": {}
	//   },
	//   "environment": {
	//     "name": "staging",
	//     "kind": "environment"
	//   },
	//   "stages": [],
	//   "services": [],
	//   "builds": [],
	//   "inputs": []
	// }
}

func ExampleDiagnostic_String() {
	fmt.Println(plan.Diagnostic{
		Severity: plan.Error, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 5}, Line: `c = contaner("a")`,
		Message: "undefined: contaner", Hint: `did you mean "container"?`,
	})
	// Output:
	// Pipelinefile:3:5: undefined: contaner
	//     c = contaner("a")
	//         ^
	//     did you mean "container"?
}

func ExamplePos_String() {
	fmt.Println(plan.Pos{File: "lib/web.star", Line: 3, Col: 5})
	// Output: lib/web.star:3:5
}

func ExamplePlan_Service() {
	p := &plan.Plan{Services: []plan.Service{{Name: "api", Type: plan.Application}}}
	fmt.Println(p.Service("api").Type, p.Service("web") == nil)
	// Output: APPLICATION true
}

func ExamplePlan_Digest() {
	a, _ := (&plan.Plan{Pipeline: plan.Pipeline{Name: "shop"}}).Digest()
	b, _ := (&plan.Plan{Pipeline: plan.Pipeline{Name: "shop"}}).Digest()
	c, _ := (&plan.Plan{Pipeline: plan.Pipeline{Name: "bank"}}).Digest()
	fmt.Println(a == b, a == c)
	// Output: true false
}

func ExamplePlan_Build() {
	p := &plan.Plan{Builds: []plan.BuildSpec{{ID: "b1", Dockerfile: "Dockerfile"}}}
	fmt.Println(p.Build("b1").Dockerfile, p.Build("b2") == nil)
	// Output: Dockerfile true
}

func ExampleDigestOf() {
	fmt.Println(plan.DigestOf([]byte("FROM scratch"))[:14])
	// Output: sha256:67c4282
}

func ExampleDuration() {
	var d plan.Duration
	err := d.UnmarshalText([]byte("90s"))
	text, _ := d.MarshalText()
	fmt.Println(string(text), err)
	// Output: 1m30s <nil>
}
