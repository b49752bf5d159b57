package builtins

import (
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

type buildpackArgs struct {
	Builder   imageArg          `arg:"builder" help:"the builder image, such as \"paketobuildpacks/builder-jammy-base:0.4\": a reference, or the image of a service"`
	RunImage  imageArg          `arg:"run_image,kw" default:"None" help:"the image to add the layers of the buildpacks to, such as \"paketobuildpacks/run-jammy-base:0.1\": a reference, or the image of a service; the one that the builder image names if not given"`
	Env       map[string]string `arg:"env,kw" default:"{}" help:"variables for the buildpacks, such as {\"BP_GO_TARGETS\": \"./cmd/api\"}"`
	Platforms []string          `arg:"platforms,kw" default:"[]" help:"such as \"linux/arm64\"; the builder's own if empty"`
}

var buildpackFunc = declare("buildpack", "build", "Describes an image that Cloud Native Buildpacks make of the source inside BuildKit, without a Dockerfile and without a Docker engine.",
	func(c *Call, a *buildpackArgs) (starlark.Value, error) {
		c.environ(a.Env)
		for _, name := range slices.Sorted(maps.Keys(a.Env)) {
			if strings.HasPrefix(name, "CNB_") {
				c.wrong("env", explain.Errorf("%s configures the lifecycle, which pipe does", name).WithHint("leave it out: variables of buildpacks are such as BP_GO_TARGETS").In(name))
			}
		}
		c.platforms(a.Platforms)
		build := &Build{name: "buildpack", plan: plan.BuildSpec{
			Context: ".", Platforms: a.Platforms, Pos: c.Pos(), Buildpack: &plan.Buildpack{Env: a.Env},
		}, args: make(map[string]*Image)}
		for _, of := range []struct {
			param, arg string
			image      imageArg
		}{{"builder", plan.BuildpackBuilder, a.Builder}, {"run_image", plan.BuildpackRun, a.RunImage}} {
			switch {
			case !c.Valid(of.param), of.image == imageArg{}: // the run image that the builder names
			case of.image.from != nil:
				build.args[of.arg] = of.image.from
			case of.image.ref == "scratch":
				c.wrong(of.param, explain.Errorf("%q is an empty image", of.image.ref).WithHint("name the image that the documentation of the buildpacks names"))
			default:
				build.args[of.arg] = &Image{Mirror: of.image.ref}
			}
		}
		if from := a.Builder.from; from != nil && from.Build != nil && a.RunImage == (imageArg{}) && c.Valid("run_image") {
			c.wrong("run_image", explain.Errorf("is required, because the builder is an image that is built: what it names is not known before").WithHint("name the run image that belongs to it: run_image = …"))
		}
		return build, nil
	})
