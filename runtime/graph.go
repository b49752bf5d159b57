package runtime

import (
	"context"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// The classes of tasks: builds and copies of images share the slots of one class,
// all operations on releases those of the other (A1).
const (
	classBuild = iota
	classDeploy
	classCheck
)

// limits returns the slots of the classes.
func limits(p plan.Pipeline) []int {
	limits := []int{classBuild: p.BuildParallelism, classDeploy: p.DeployParallelism, classCheck: lookParallelism}
	for i, n := range limits {
		if n <= 0 {
			limits[i] = plan.DefaultParallelism
		}
	}
	return limits
}

// graph returns the tasks of the run. The rules of SPEC §4 are its edges:
//
//	complete k-1 ──► images of stage k ──► built k ──► services of stage k ──► complete k
//
// where built and complete are barriers. A service is acted on when all images of its
// stage are in the registry (A1). With keepGoing, a failed image blocks only its
// own services, and built waits for images to end in any way; complete still requires
// success, so that no run continues past a failure (A3). Building
// ahead omits the edge from complete to the images (A2); tasks of lower stages have
// higher priority. Each image is in the graph once, in the first
// stage that needs it; images of the same identity are built one after the other, so
// that no work is done twice (I2). The teardowns of a stage come before its other services, which
// depend on them.
//
// Changes that the cluster would refuse are found concurrently with the builds: all
// services depend on the checks of all stages (D8).
//
// A service whose Secrets are missing is acted on when they exist. It waits without
// occupying a slot, so that others continue, including the one that may create them.
//
// makeImage, awaitSecrets and act do the work.
func (r *run) graph(makeImage func(context.Context, *image) error, awaitSecrets, act func(context.Context, *service) error) []*sched.Task {
	var (
		tasks      []*sched.Task
		before     *sched.Task // complete of the stage before
		making     = make(map[*image]*sched.Task)
		sameSource = make(map[plan.Digest]*sched.Task)
	)
	toMake := make(map[*stage][]*image)
	for _, im := range r.images {
		if !im.there || r.unscanned(im) {
			toMake[im.stage] = append(toMake[im.stage], im)
			for _, s := range im.services {
				if s.stage == im.stage {
					s.toMake++
				}
			}
		}
	}
	var checked *sched.Task
	if tasks = r.checks(); len(tasks) > 0 {
		checked = tasks[len(tasks)-1]
	}
	if r.beginning != nil {
		tasks = append(tasks, r.beginning)
	}
	for _, st := range r.scope.stages {
		if before != nil && r.ahead != nil {
			before.Do = func(context.Context) error {
				r.ahead.begin(st)
				return nil
			}
		}
		built := &sched.Task{Name: "images of stage " + st.name, Class: -1}
		complete := &sched.Task{Name: "stage " + st.name, Class: -1}
		for _, im := range toMake[st] {
			t := &sched.Task{Name: im.source(), Class: classBuild, Priority: st.index, Wave: st.index}
			if r.Turn != nil && r.Turn.made(im) {
				t.Class = -1 // it only waits for an older run of the session
			}
			t.Do = func(ctx context.Context) error { return makeImage(ctx, im) }
			if before != nil && !r.scope.plan.Pipeline.BuildAhead {
				t.Needs = append(t.Needs, before)
			}
			if same := sameSource[im.identity]; same != nil && im.identity != "" {
				t.After = append(t.After, same)
			}
			sameSource[im.identity] = t
			for _, base := range im.bases {
				if making[base] != nil {
					t.Needs = append(t.Needs, making[base])
				}
			}
			if r.req.KeepGoing {
				built.After = append(built.After, t)
			} else {
				built.Needs = append(built.Needs, t)
			}
			complete.Needs = append(complete.Needs, t)
			making[im] = t
			tasks = append(tasks, t)
		}
		tasks = append(tasks, built)
		var teardowns []*sched.Task
		for _, s := range st.teardownsFirst() {
			t := &sched.Task{Name: s.Name, Class: classDeploy, Priority: st.index, Wave: st.index}
			if r.Turn != nil && r.Turn.same(s) {
				t.Class = -1 // it only waits for an older run of the session
			}
			t.Do = func(ctx context.Context) error { return act(ctx, s) }
			t.Needs = append(t.Needs, built)
			if before != nil {
				t.Needs = append(t.Needs, before)
			}
			if checked != nil {
				t.Needs = append(t.Needs, checked)
			}
			if r.beginning != nil {
				t.Needs = append(t.Needs, r.beginning)
			}
			for _, im := range s.images {
				if image := making[im.image]; image != nil {
					t.Needs = append(t.Needs, image)
				}
			}
			if s.teardown {
				teardowns = append(teardowns, t)
			} else {
				t.Needs = append(t.Needs, teardowns...)
			}
			if s.waitsForSecrets() {
				wait := &sched.Task{Name: "Secrets of " + s.Name, Class: -1, Wave: st.index, Needs: slices.Clone(t.Needs)}
				wait.Do = func(ctx context.Context) error { return awaitSecrets(ctx, s) }
				t.Needs = append(t.Needs, wait)
				tasks = append(tasks, wait)
			}
			complete.Needs = append(complete.Needs, t)
			tasks = append(tasks, t)
		}
		if before != nil {
			complete.Needs = append(complete.Needs, before)
		}
		tasks = append(tasks, complete)
		before = complete
	}
	return tasks
}
