package ui

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A Preview is a plan, with what is known about a run of it.
type Preview struct {
	Plan      *plan.Plan
	Namespace string
	Steps     []runtime.Step // nil: not known
	Unknown   string         // why the steps are not known
	// Overridden describes, by service, how the services in the environment differ from
	// the Pipelinefile. The plan is as the environment has it.
	Overridden map[string]string
	Recorded   []string // parameters whose values are those of the environment
}

// Changes returns the number of services that a run would change.
func (v Preview) Changes() int {
	n := 0
	for _, s := range v.Steps {
		if s.Do != runtime.Unchanged && s.Do != runtime.Skipped || len(imageActions(s)) > 0 {
			n++
		}
	}
	return n
}

// Plan writes a plan in human-readable form: the stages in order with their services,
// where each is declared, and what a run would do with it, and why.
func Plan(w io.Writer, v Preview) error {
	var b strings.Builder
	p := v.Plan
	fmt.Fprintf(&b, "%s: environment %s, namespace %s\n", p.Pipeline.Name, p.Environment.Name, v.Namespace)
	if from := p.Environment.Source; from != "" {
		fmt.Fprintf(&b, "a %s of %s", p.Environment.Kind, from)
		if p.Environment.Branch != "" {
			fmt.Fprintf(&b, ", branch %s", p.Environment.Branch)
		}
		b.WriteString("\n")
	}
	params(&b, p, v.Recorded)
	x := index{plan: p, overridden: v.Overridden, steps: map[string]runtime.Step{}, builds: map[string]*plan.BuildSpec{}, services: map[string][]*plan.Service{}}
	for i := range p.Builds {
		x.builds[p.Builds[i].ID] = &p.Builds[i]
	}
	for i := range p.Services {
		s := &p.Services[i]
		x.services[s.Stage] = append(x.services[s.Stage], s)
	}
	for _, s := range v.Steps {
		if s.Stage != "" { // it is not of a release to be removed
			x.steps[s.Service] = s
		}
	}
	for i, stage := range p.Stages {
		fmt.Fprintf(&b, "\nstage %d: %s", i+1, stage.Name)
		if !stage.Pos.IsZero() {
			fmt.Fprintf(&b, "  (%s)", stage.Pos)
		}
		if len(x.services[stage.Name]) == 0 {
			b.WriteString("  no service")
		}
		b.WriteString("\n")
		if stage.Description != "" {
			fmt.Fprintf(&b, "  %s\n", stage.Description)
		}
		services(&b, x, stage.Name)
	}
	removed(&b, v.Steps)
	for i, d := range warnings(v) {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintln(&b, warning(d))
	}
	b.WriteString("\n" + summary(v) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// warnings returns those of the plan, and of a run of it.
func warnings(v Preview) []plan.Diagnostic {
	out := slices.Clone(v.Plan.Warnings)
	if v.Steps == nil {
		for _, d := range v.Plan.Absent(nil) {
			out = append(out, d)
		}
	}
	for _, s := range v.Steps {
		out = append(out, s.Warnings...)
	}
	return out
}

func params(b *strings.Builder, p *plan.Plan, recorded []string) {
	for i, param := range p.Params {
		if i == 0 {
			b.WriteString("\nparameters\n")
		}
		fmt.Fprintf(b, "  %s = %q", param.Name, param.Value)
		switch {
		case param.Default:
			b.WriteString(", the default")
		case slices.Contains(recorded, param.Name):
			b.WriteString(", as the environment has it")
		}
		fmt.Fprintf(b, "  (%s)\n", param.Pos)
	}
}

// An index speeds up lookups in a plan, which may have thousands of parts.
type index struct {
	plan       *plan.Plan
	steps      map[string]runtime.Step    // by service
	overridden map[string]string          // by service
	builds     map[string]*plan.BuildSpec // by ID
	services   map[string][]*plan.Service // by stage
}

func services(b *strings.Builder, x index, stage string) {
	for _, s := range x.services[stage] {
		where := s.Pos.String()
		if !s.Caller.IsZero() {
			where += ", called at " + s.Caller.String()
		}
		fmt.Fprintf(b, "  %s  %s  (%s)\n", s.Name, s.Type, where)
		if s.Namespace != "" {
			fmt.Fprintf(b, "      in namespace %s\n", x.plan.NamespaceOf(s))
		}
		if how := x.overridden[s.Name]; how != "" {
			fmt.Fprintf(b, "      %s\n", how)
		} else if why := placed(s); why != "" {
			fmt.Fprintf(b, "      in this stage %s\n", why)
		}
		for name, from := range s.AllImages() {
			of := ""
			if name != "" {
				of = name + ": "
			}
			fmt.Fprintf(b, "      %s%s%s\n", of, imageOf(x, plan.ImageKey(s.Name, name), from), runImageOf(x, s.Name, name, from)+commitOf(x, s.Name, name, from))
		}
		if text := s.OthersImages(); text != "" {
			fmt.Fprintf(b, "      images: %s\n", text)
		}
		fmt.Fprintf(b, "      %s\n", chartOf(s))
		step, known := x.steps[s.Name]
		switch {
		case s.Skip && (!known || step.Do == runtime.Skipped):
			fmt.Fprintf(b, "      -> skipped%s\n", skipWhy(s))
		case known:
			fmt.Fprintf(b, "      -> %s\n", verdict(step))
			for _, a := range step.Adopts {
				fmt.Fprintf(b, "         %s\n", a)
			}
		}
	}
}

// removed lists the releases that a run would prune (D5).
func removed(b *strings.Builder, steps []runtime.Step) {
	first := true
	for _, s := range steps {
		if s.Do != runtime.Deleting {
			continue
		}
		if first {
			b.WriteString("\nreleases to be removed\n")
			first = false
		}
		in := ""
		if s.Namespace != "" {
			in = " in namespace " + s.Namespace
		}
		fmt.Fprintf(b, "  %s%s\n      -> delete: %s\n", s.Service, in, s.Why)
	}
}

// placed says why a service is in its stage, if the file does not show it.
func placed(s *plan.Service) string {
	switch by, pos := s.Placed.By, s.Placed.Pos; {
	case by == plan.ByStage, by == plan.ByRule && pos.IsZero(), by == "":
		return ""
	case pos.IsZero():
		return s.Placed.Why(s.Type)
	default:
		return s.Placed.Why(s.Type) + " at " + pos.String()
	}
}

// imageOf describes the source of the image with a key.
func imageOf(x index, key string, from plan.ImageSource) string {
	switch {
	case from.Build != "":
		build := x.builds[from.Build]
		if build == nil {
			return "image of " + from.Build
		}
		text := "image built from " + dockerfileOf(build)
		if build.Command != nil {
			text = fmt.Sprintf("image made by %s in %s", program(build.Command), in(build, path.Join(build.Source.Path, build.Context)))
		}
		if build.Go != nil {
			text = "image of the Go program in " + in(build, path.Join(build.Source.Path, build.Go.Package))
		}
		if build.Buildpack != nil {
			text = "image made by buildpacks of " + in(build, build.Source.Path)
		}
		if build.Target != "" {
			text += ", target " + build.Target
		}
		for _, name := range slices.Sorted(maps.Keys(build.ImageArgs)) {
			base := build.ImageArgs[name]
			if build.ImageParam(name) != "" {
				name = build.ImageArg(name)
			}
			if base.Build != "" {
				text += fmt.Sprintf(", with the image of %s as %s", base.Build, name)
			} else {
				text += fmt.Sprintf(", with %s as %s", base.Mirror+base.Ref, name)
			}
		}
		if build.ID != key {
			text += fmt.Sprintf(", the same as %s", build.ID)
		}
		return text
	case from.Mirror != "":
		return "image " + from.Mirror + ", copied into the registry"
	}
	return "image " + from.Ref + ", from where it is"
}

// commitOf names the commit of the git source of an image, unless the source names it itself.
func commitOf(x index, service, name string, from plan.ImageSource) string {
	commit, build := x.stepImage(service, name).Commit, x.builds[from.Build]
	if commit == "" || build == nil || build.Source.Ref == commit {
		return ""
	}
	return ", commit " + commit[:min(len(commit), 12)]
}

// runImageOf names the run image of an image that buildpacks make, if the plan names none.
func runImageOf(x index, service, name string, from plan.ImageSource) string {
	build := x.builds[from.Build]
	if build == nil || build.Buildpack == nil || build.ImageArgs[plan.BuildpackRun] != (plan.ImageSource{}) {
		return ""
	}
	if of := x.stepImage(service, name).RunImage; of != "" {
		return fmt.Sprintf(", with %s as %s, which the builder names", of, build.ImageArg(plan.BuildpackRun))
	}
	return ", with the run image that the builder names"
}

// stepImage returns what is to be done with an image of a service.
func (x index) stepImage(service, name string) runtime.StepImage {
	step := x.steps[service]
	if name == "" {
		return runtime.StepImage{Image: step.Image, Ref: step.Ref, Commit: step.Commit, RunImage: step.RunImage}
	}
	i := slices.IndexFunc(step.Images, func(im runtime.StepImage) bool { return im.Name == name })
	if i < 0 {
		return runtime.StepImage{}
	}
	return step.Images[i]
}

// program returns the program of a command, without its arguments.
func program(c *plan.BuildCommand) string { return strings.Join(c.Args[:min(1, len(c.Args))], "") }

// dockerfileOf returns the path of the Dockerfile of a build.
func dockerfileOf(b *plan.BuildSpec) string { return in(b, path.Join(b.Source.Path, b.Dockerfile)) }

// in returns a path of the source of a build, in the workspace or in a git repository.
func in(b *plan.BuildSpec, path string) string {
	if b.Source.Git == "" {
		return path
	}
	return fmt.Sprintf("%s of %s at %s", path, b.Source.Git, b.Source.Ref)
}

// listed names the first few sources of manifests.
func listed(sources []plan.ManifestSource) string {
	const maxListed = 3
	var names []string
	for _, m := range sources[:min(len(sources), maxListed)] {
		names = append(names, m.String())
	}
	if n := len(sources) - maxListed; n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, ", ")
}

func chartOf(s *plan.Service) string {
	if s.Generated() {
		return "chart generated"
	}
	if s.Chart == nil {
		return "manifests " + listed(s.Manifests)
	}
	text := "chart " + s.Chart.Ref
	if s.Chart.Version != "" {
		text += " " + s.Chart.Version
	}
	if from := s.Chart.Source(); from != "" {
		text += " of " + from
	}
	return text
}

// verdict says what a run would do with a service.
func verdict(s runtime.Step) string {
	text := string(s.Do)
	switch s.Do {
	case runtime.Deploying:
		text = "deploy"
	case runtime.Failed:
		text = "would fail"
	}
	for _, do := range slices.Backward(slices.Compact(imageActions(s))) {
		text = string(do) + " and " + text
	}
	if s.Why != "" {
		text += ": " + s.Why
	}
	return text
}

// imageActions returns what must be done for the images of a service, sorted.
func imageActions(s runtime.Step) []runtime.ImageAction {
	var all []runtime.ImageAction
	if s.Image != "" {
		all = append(all, s.Image)
	}
	for _, im := range slices.Concat(s.Images, s.ChartImages) {
		if im.Image != "" {
			all = append(all, im.Image)
		}
	}
	slices.Sort(all)
	return all
}

func skipWhy(s *plan.Service) string {
	if s.SkipWhy == nil {
		return ""
	}
	text := ""
	if s.SkipWhy.Text != "" {
		text = ": " + s.SkipWhy.Text
	}
	if !s.SkipWhy.Pos.IsZero() {
		text += fmt.Sprintf(" (%s)", s.SkipWhy.Pos)
	}
	return text
}

// summary returns the last line of a plan.
func summary(v Preview) string {
	if v.Steps == nil {
		text := fmt.Sprintf("%s in %s; what is built and deployed already is not known",
			count(len(v.Plan.Services), "service"), count(len(v.Plan.Stages), "stage"))
		if v.Unknown != "" {
			text += ": " + v.Unknown
		}
		return text
	}
	if v.Changes() == 0 {
		return "nothing to do: everything is as the Pipelinefile says"
	}
	counts := map[string]int{}
	for _, s := range v.Steps {
		for _, do := range imageActions(s) {
			counts[string(do)]++
		}
		counts[string(s.Do)]++
	}
	var parts []string
	for _, c := range []struct{ key, text string }{
		{string(runtime.ImageBuild), "to build"}, {string(runtime.ImageMirror), "to mirror"},
		{string(runtime.Deploying), "to deploy"}, {string(runtime.Deleting), "to delete"}, {string(runtime.Unchanged), "unchanged"},
		{string(runtime.Skipped), "skipped"}, {string(runtime.Failed), "would fail"},
	} {
		if n := counts[c.key]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.text))
		}
	}
	return strings.Join(parts, ", ")
}
