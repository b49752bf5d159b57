package builtins

import (
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

type goImageArgs struct {
	Package   string            `arg:"package" default:"\".\"" path:"directory" help:"the directory of the main package, relative to the source, such as \"./cmd/api\""`
	Base      imageArg          `arg:"base,kw" help:"the image to add the program to: a reference, the image of a service, or \"scratch\" for none"`
	Flags     []string          `arg:"flags,kw" default:"[]" help:"more flags of go build, such as [\"-tags=netgo\", \"-ldflags=-s -w\"]"`
	Env       map[string]string `arg:"env,kw" default:"{}" help:"the environment of the go command, besides PATH and HOME, such as {\"GOPRIVATE\": \"example.com\"}"`
	Platforms []string          `arg:"platforms,kw" default:"[]" help:"such as \"linux/arm64\"; the builder's own if empty"`
}

var goImageFunc = declare("go_image", "build", "Describes an image of a Go program, which the go command of this machine compiles, without a Dockerfile.",
	func(c *Call, a *goImageArgs) (starlark.Value, error) {
		c.refuseLibrary()
		pkg, p := below(a.Package, "the source")
		if a.Package == "" {
			p = explain.Errorf("is empty").WithHint(`write ".", or for example "./cmd/api"`)
		}
		if p == nil && !plainPackage(pkg) {
			p = explain.Errorf("%q is not the directory of one package", explain.Clip(a.Package)).WithHint(`write, for example, "./cmd/api"`)
		}
		c.wrong("package", p)
		for i, f := range a.Flags {
			if p := goFlag(f); p != nil {
				c.wrong("flags", p.In(i))
			}
		}
		c.environ(a.Env)
		for _, name := range []string{"GOOS", "GOARCH", "GOFLAGS", "CGO_ENABLED"} {
			if _, given := a.Env[name]; given {
				c.wrong("env", explain.Errorf("pipe sets %s", name).WithHint("the platforms are platforms=, and flags are flags=").In(name))
			}
		}
		c.platforms(a.Platforms)
		build := &Build{name: "go_image", plan: plan.BuildSpec{
			Context: ".", Platforms: a.Platforms, Pos: c.Pos(), Go: &plan.GoBuild{Package: pkg, Flags: a.Flags, Env: a.Env},
		}}
		switch {
		case !c.Valid("base"):
		case a.Base.from != nil:
			build.args = map[string]*Image{plan.GoBase: a.Base.from}
		case a.Base.ref != "scratch":
			build.args = map[string]*Image{plan.GoBase: {Mirror: a.Base.ref}}
		}
		return build, nil
	})

// plainPackage reports whether a clean path names one package: a directory that the go command
// neither takes for a pattern nor ignores.
func plainPackage(pkg string) bool {
	const characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+~"
	return strings.Trim(pkg, characters) == "" && !strings.Contains(pkg, "...") && !strings.HasSuffix(pkg, ".go") && !strings.HasPrefix(path.Base(pkg), "-")
}

// goFlag checks a flag of go build. It refuses those that pipe sets, and those that make the
// program depend on more than the files of the source.
func goFlag(f string) *explain.Error {
	name, _, hasValue := strings.Cut(strings.TrimLeft(f, "-"), "=")
	switch {
	case !strings.HasPrefix(f, "-") || name == "" || strings.ContainsRune(f, 0):
		return explain.Errorf("%q is not a flag", explain.Clip(f)).WithHint(`write flags with their values, such as "-tags=netgo"`)
	case slices.Contains([]string{"o", "C", "n", "buildvcs", "trimpath", "overlay", "modfile", "pgo", "buildmode"}, name):
		return explain.Errorf("-%s is not possible here", name).WithHint("leave it out: pipe sets the output, and the program must depend only on the files of the source")
	case !hasValue && (name == "tags" || name == "ldflags" || name == "gcflags" || name == "asmflags" || name == "mod"):
		return explain.Errorf("-%s has no value", name).WithHint(`write "-%s=…" in one string`, name)
	}
	return nil
}
