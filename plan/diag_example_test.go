package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleDiagnostic_String() {
	fmt.Println(plan.Diagnostic{
		Severity: plan.SeverityError, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 5}, Line: `c = contaner("a")`,
		Message: "undefined: contaner", Hint: `did you mean "container"?`,
	})
	// Output:
	// Pipelinefile:3:5: undefined: contaner
	//     c = contaner("a")
	//         ^
	//     did you mean "container"?
}

func ExampleSeverity() {
	fmt.Println(plan.Diagnostic{Severity: plan.SeverityWarning, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 5}, Message: "the tag moves"})
	// Output: Pipelinefile:3:5: warning: the tag moves
}

func ExampleRelated() {
	fmt.Println(plan.Diagnostic{
		Pos: plan.Pos{File: "Pipelinefile", Line: 4, Col: 1}, Message: `service "web" is already declared`,
		Related: []plan.Related{{Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 1}, Message: "declared here", Line: `application("web")`}},
	})
	// Output:
	// Pipelinefile:4:1: service "web" is already declared
	// Pipelinefile:3:1: declared here
	//     application("web")
	//     ^
}

func ExampleFrame() {
	fmt.Println(plan.Diagnostic{
		Pos: plan.Pos{File: "lib/web.star", Line: 2, Col: 5}, Message: "fail: no team",
		Stack: []plan.Frame{
			{Name: "<toplevel>", Pos: plan.Pos{File: "Pipelinefile", Line: 9, Col: 1}},
			{Name: "web", Pos: plan.Pos{File: "lib/web.star", Line: 2, Col: 5}},
		},
	})
	// Output:
	// lib/web.star:2:5: fail: no team
	// stack:
	//     Pipelinefile:9:1: in <toplevel>
	//     lib/web.star:2:5: in web
}

func ExamplePos() {
	fmt.Println(plan.Pos{File: "lib/web.star", Line: 3, Col: 5}, plan.Pos{File: "lib/web.star"}, plan.Pos{}.IsZero())
	// Output: lib/web.star:3:5 lib/web.star true
}

func ExamplePlan_Absent() {
	p := evaluate(`
cache = container("cache", image = "redis:7", ports = [6379], skip = True)
container("api", image = "api:1", env = {"CACHE": cache.host})
`)
	for s, d := range p.Absent(func(string) bool { return false }) {
		fmt.Println(s.Name, d.Rule)
		fmt.Println(d.Message)
		fmt.Println(d.Related[0].Pos, d.Related[0].Message)
	}
	// Output:
	// api skipped-used
	// api uses cache, which is skipped and not deployed: nothing answers at cache
	// Pipelinefile:2:70 cache is skipped: skip = True
}
