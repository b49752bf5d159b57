package assemble

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// An images adds the images of services to a plan.
type images struct {
	*assembly
	plan *plan.Plan
	ids  map[*builtins.Image]string // of builds
	same map[string]string          // the same, by buildKey: two calls can describe the same image
}

func newImages(a *assembly, p *plan.Plan) *images {
	return &images{a, p, map[*builtins.Image]string{}, map[string]string{}}
}

// of sets the images of services, and adds each build to the plan once, in the order of
// the first service that uses it (L6).
func (x *images) of(services []*builtins.Service) {
	for _, svc := range services {
		if svc.Image != nil {
			svc.Plan.Image = x.source(svc.Image, svc.Plan.Name)
		}
		for _, im := range svc.Images {
			source := x.source(im.Image, plan.ImageKey(svc.Plan.Name, im.Name))
			svc.Plan.Images = append(svc.Plan.Images, plan.NamedImage{Name: im.Name, ImageSource: source})
		}
	}
}

// source returns the source of an image. A build that is not in the plan yet gets the ID.
func (x *images) source(img *builtins.Image, id string) plan.ImageSource {
	if img.Build == nil {
		return plan.ImageSource{Mirror: img.Mirror, Ref: img.Ref}
	}
	if known, ok := x.ids[img]; ok {
		return plan.ImageSource{Build: known}
	}
	spec := *img.Build
	for _, arg := range slices.Sorted(maps.Keys(img.Args)) {
		base := img.Args[arg]
		owner := id + "/" + arg
		if base.Owner != nil {
			owner = base.Owner.Plan.Name
		}
		if spec.ImageArgs == nil {
			spec.ImageArgs = make(map[string]plan.ImageSource)
		}
		spec.ImageArgs[arg] = x.source(base, owner)
	}
	key := buildKey(&spec)
	if known, ok := x.same[key]; ok {
		id = known
	} else {
		x.same[key] = id
		spec.ID = id
		x.plan.Builds = append(x.plan.Builds, spec)
		x.checkBuild(&spec)
	}
	x.ids[img] = id
	return plan.ImageSource{Build: id}
}

// buildKey returns a string that is equal for equal builds.
func buildKey(b *plan.BuildSpec) string {
	var k strings.Builder
	fmt.Fprintf(&k, "%q %q %q %q %q %q", b.Source.Git, b.Source.Ref, b.Source.Path, b.Context, b.Dockerfile, b.Target)
	variables := func(m map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&k, " %q=%q", name, m[name])
		}
	}
	for _, m := range []map[string]string{b.Args, b.Labels} {
		k.WriteByte('\n')
		variables(m)
	}
	for _, arg := range slices.Sorted(maps.Keys(b.ImageArgs)) {
		fmt.Fprintf(&k, "\n%s %q", arg, b.ImageArgs[arg])
	}
	if c := b.Command; c != nil {
		fmt.Fprintf(&k, "\n%q %q %q %q", c.Args, c.Inputs, c.Output, c.Image)
		variables(c.Env)
	}
	if g := b.Go; g != nil {
		fmt.Fprintf(&k, "\ngo %q %q", g.Package, g.Flags)
		variables(g.Env)
	}
	if bp := b.Buildpack; bp != nil {
		k.WriteString("\nbuildpack")
		variables(bp.Env)
	}
	if len(b.Platforms)+len(b.Secrets) > 0 {
		fmt.Fprintf(&k, "\n%q %q", b.Platforms, b.Secrets)
	}
	return k.String()
}

// checkBuild warns about a build argument, or a variable of what makes an image, that contains the name of the
// environment, because environments then no longer share the image (I1).
func (a *assembly) checkBuild(b *plan.BuildSpec) {
	a.checkValues(b, "build argument", b.Args)
	if b.Command != nil {
		a.checkValues(b, "variable", b.Command.Env)
	}
	if b.Go != nil {
		a.checkValues(b, "variable", b.Go.Env)
	}
	if b.Buildpack != nil {
		a.checkValues(b, "variable", b.Buildpack.Env)
	}
}

func (a *assembly) checkValues(b *plan.BuildSpec, what string, values map[string]string) {
	env := a.session.Environment.Name
	for _, name := range slices.Sorted(maps.Keys(values)) {
		words := strings.FieldsFunc(values[name], func(r rune) bool { return strings.ContainsRune("./:_ ,@=&?", r) })
		if slices.Contains(words, env) {
			a.session.Report(plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: b.Pos, Rule: "build-env",
				Message: fmt.Sprintf("the %s %s of %s carries the name of the environment, %q", what, name, b.ID, env),
				Hint:    "each environment then builds an image of its own: pass it as env= instead",
			})
		}
	}
}
