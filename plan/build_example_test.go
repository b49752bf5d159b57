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

func ExampleBuildpack() {
	p := evaluate(`
application("api", source = local("api"), build = buildpack("example.com/builder:1", run_image = "example.com/run:1", env = {"BP_GO_TARGETS": "./cmd/api"}))
`)
	show(p.Builds[0].Buildpack)
	fmt.Println(p.Builds[0].ImageArgs[plan.BuildpackBuilder].Mirror, p.Builds[0].ImageArgs[plan.BuildpackRun].Mirror)
	// Output:
	// {"env":{"BP_GO_TARGETS":"./cmd/api"}}
	// example.com/builder:1 example.com/run:1
}

func ExampleBuildSpec_ImageParam() {
	p := evaluate(`application("api", source = local("api"), build = go_image(".", base = "example.com/static:1"))`)
	fmt.Printf("%q %q\n", p.Build("api").ImageParam(plan.GoBase), (&plan.BuildSpec{}).ImageParam("BASE"))
	// Output: "base" ""
}

func ExampleBuildSpec_ImageArg() {
	p := evaluate(`
application("api", source = local("api"), build = go_image(".", base = "example.com/static:1"))
application("web", source = local("api"), build = buildpack("example.com/builder:1"))
`)
	fmt.Println(p.Build("api").ImageArg("BASE"), p.Build("web").ImageArg("BUILDER"), p.Build("web").ImageArg("RUN"), (&plan.BuildSpec{}).ImageArg("BASE"))
	// Output: base= builder= run_image= argument BASE
}

func ExampleBuildSpec_HasDockerfile() {
	p := evaluate(`
application("api", source = local("api"))
application("web", source = local("api"), build = buildpack("example.com/builder:1", run_image = "example.com/run:1"))
`)
	fmt.Println(p.Build("api").HasDockerfile(), p.Build("web").HasDockerfile(), p.Build("web").UsesBuildKit())
	// Output: true false true
}

func ExampleBuildSpec_UsesBuildKit() {
	p := evaluate(`
application("api", source = local("api"))
application("web", source = local("api"), build = command_build(["make", "image"]))
`)
	fmt.Println(p.Build("api").UsesBuildKit(), p.Build("web").UsesBuildKit())
	// Output: true false
}
