package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleBuildCommand() {
	p := evaluate(`
application("api", source = local("api"), build = command_build(["ko", "build", "--oci-layout-path=$(PIPE_OUTPUT)"], inputs = ["**/*.go", "go.*"]))
`)
	show(p.Builds[0].Command)
	// Output: {"args":["ko","build","--oci-layout-path=$(PIPE_OUTPUT)"],"inputs":["**/*.go","go.*"]}
}

func ExampleGoBuild_Program() {
	fmt.Println((&plan.GoBuild{Package: "cmd/api"}).Program(), (&plan.GoBuild{Package: "."}).Program())
	// Output: /app/api /app/main
}

func ExampleBuildSpec_UsesBuildKit() {
	p := evaluate(`
application("api", source = local("api"))
application("web", source = local("api"), build = command_build(["make", "image"]))
`)
	fmt.Println(p.Build("api").UsesBuildKit(), p.Build("web").UsesBuildKit())
	// Output: true false
}
