package runtime

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// Preview returns what Run of req would do with each service, and why, in running
// order. It changes nothing and takes no lease. The steps are exact except in one
// case: a service whose image must be built is reported as deployed, but is
// unchanged if the build produces the image that is already deployed.
//
// The releases that the run would prune come last; they have no stage.
//
// If it is already known that the run would fail, the error is a *RunError,
// and the steps are complete.
func (r *Runtime) Preview(ctx context.Context, req Request) (steps []Step, err error) {
	if req, err = r.complete(ctx, req); err != nil {
		return nil, err
	}
	hide := r.hider(req.Plan)
	defer func() { err = redactError(err, hide) }()
	x, err := r.open(ctx, req)
	if err != nil {
		return nil, err
	}
	hide = r.hider(x.req.Plan)
	if err := x.look(ctx, nil); err != nil {
		return nil, err
	}
	x.settleTeardowns()
	if err := x.adoptions(ctx); err != nil {
		return nil, err
	}
	skipped := make(map[string][]*service)
	for _, s := range x.scope.services {
		if s.skipped != "" {
			skipped[s.Stage] = append(skipped[s.Stage], s)
		}
	}
	var failed []ServiceRecord
	made := make(map[*image]string) // the service that each image is built for
	var warnings map[string][]plan.Diagnostic
	if req.Action == Deploy {
		warnings = x.warnings()
	}
	for _, st := range x.scope.stages {
		for _, s := range st.services {
			step := x.step(s, made)
			if namespace := x.namespaceOf(s.Service); namespace != x.namespace {
				step.Namespace = namespace
			}
			step.Warnings, step.Adopts = warnings[s.Name], s.adoptions
			if step.Do == Failed {
				failed = append(failed, ServiceRecord{Service: s.Name, Stage: s.Stage, State: Failed, Error: step.Why, Err: s.err})
			}
			steps = append(steps, step)
		}
		for _, s := range skipped[st.name] {
			steps = append(steps, Step{Stage: s.Stage, Service: s.Name, Do: Skipped, Why: s.skipped})
		}
	}
	for _, place := range x.pruned() {
		step := Step{Service: place.Name, Do: Deleting, Why: "the plan has no such service any more"}
		if place.Namespace != x.namespace {
			step.Namespace = place.Namespace
		}
		if s := x.scope.plan.Service(place.Name); s != nil {
			step.Why = "the service is in namespace " + x.namespaceOf(s) + " now"
		}
		steps = append(steps, step)
	}
	if hide != nil {
		for i := range steps {
			steps[i].Why = hide(steps[i].Why)
			for j, a := range steps[i].Adopts {
				steps[i].Adopts[j] = a.redacted(hide)
			}
			for j, d := range steps[i].Warnings {
				steps[i].Warnings[j] = redactDiagnostic(d, hide)
			}
		}
		for i := range failed {
			redactService(&failed[i], hide)
		}
	}
	if len(failed) > 0 {
		return steps, &RunError{Failed: failed}
	}
	return steps, nil
}

// step returns what would be done with s.
func (r *run) step(s *service, made map[*image]string) Step {
	step := Step{Stage: s.Stage, Service: s.Name, Do: verb[r.req.Action]}
	for _, im := range s.images {
		ref, commit := im.byDigest, ""
		if ref == "" {
			ref = im.ref
		}
		if im.build != nil {
			commit = im.build.Source.Commit
		}
		switch {
		case im.in != nil:
			step.ChartImages = append(step.ChartImages, StepImage{Name: im.name, Ref: ref})
		case im.name == "":
			step.Ref, step.Commit, step.RunImage = ref, commit, im.runImage()
		default:
			step.Images = append(step.Images, StepImage{Name: im.name, Ref: ref, Commit: commit, RunImage: im.runImage()})
		}
	}
	if s.err != nil && !s.idle {
		step.Do, step.Why = Failed, s.err.Error()
		return step
	}
	for _, im := range s.images {
		if !im.there && im.in == nil {
			step.makeBases(s, im.image, made)
			step.make(s, im, made)
		}
	}
	step.makeNamed(s, made)
	for _, im := range s.images {
		if ref := cmp.Or(im.byDigest, im.ref, im.source()); r.unscanned(im.image) && !slices.Contains(step.Scans, ref) {
			step.Scans = append(step.Scans, ref)
		}
	}
	switch n := len(step.Scans); n {
	case 0:
	case 1:
		step.Why = sentence(step.Why, unscannedText)
	default:
		step.Why = sentence(step.Why, fmt.Sprintf("%d images are scanned for vulnerabilities", n))
	}
	if s.later != "" {
		step.Do, step.Why = Skipped, sentence(s.later, step.Why)
		return step
	}
	nothing, why := r.todo(s)
	if nothing {
		step.Do = Unchanged
	}
	if _, deployed := r.deployed[s.Name]; deployed && s.imageUnknown() {
		return step // whether it differs is not known before it is built
	}
	step.Why = sentence(step.Why, why)
	return step
}

// makeBases adds what must be done for the bases of an image of s, unless they are images
// of a service that says so itself.
func (step *Step) makeBases(s *service, im *image, made map[*image]string) {
	for _, arg := range slices.Sorted(maps.Keys(im.bases)) {
		base := im.bases[arg]
		if _, ok := made[base]; ok || base.there || s.has(base) {
			continue
		}
		step.makeBases(s, base, made)
		made[base] = s.Name
		step.Why = sentence(step.Why, fmt.Sprintf("%s: %s: %s", im.build.ImageArg(arg), base.source(), base.why()))
	}
}

// make adds what must be done for an image of s that is not in the registry.
func (step *Step) make(s *service, im namedImage, made map[*image]string) {
	of := ""
	if im.name != "" {
		of = "image " + im.name + ": "
	}
	switch by, ok := made[im.image]; {
	case ok && by == s.Name:
		return // several of its images are the same
	case ok && im.name == "":
		step.Why = "its image is made for " + by
		return
	case ok:
		step.Why = sentence(step.Why, of+"it is made for "+by)
		return
	}
	made[im.image] = s.Name
	what := ImageMirror
	if im.build != nil {
		what = ImageBuild
	}
	step.Why = sentence(step.Why, of+im.why())
	if im.name == "" {
		step.Image = what
		return
	}
	for i := range step.Images {
		if step.Images[i].Name == im.name {
			step.Images[i].Image = what
		}
	}
}

// makeNamed adds what must be done for the images that the chart or the manifests of s name.
func (step *Step) makeNamed(s *service, made map[*image]string) {
	var missing []string
	i := 0
	for _, im := range s.images {
		if im.in == nil {
			continue
		}
		if _, ok := made[im.image]; !ok && !im.there {
			made[im.image] = s.Name
			step.ChartImages[i].Image = ImageMirror
			missing = append(missing, im.mirror)
		}
		i++
	}
	switch len(missing) {
	case 0:
	case 1:
		step.Why = sentence(step.Why, missing[0]+" is not in the registry")
	default:
		step.Why = sentence(step.Why, some(missing, 3)+" are not in the registry")
	}
}

// sentence joins the parts that are not empty.
func sentence(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}
