package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

var waited = runtime.EnvironmentKey{Pipeline: "shop", Name: "dev"}

// A waiting has the state that pipe wait reads: a world in which the services web and other
// were deployed from files A.
type waiting struct {
	*testing.T
	world   *runtimetest.World
	rt      *runtime.Runtime
	session *runtime.Session // that has deployed them
	plan    *plan.Plan
	last    string // ID of the last run
}

func newWaiting(t *testing.T) *waiting {
	w := &waiting{T: t, world: runtimetest.NewWorld()}
	w.rt = w.world.Runtime()
	w.session = w.rt.NewSession()
	w.plan = &plan.Plan{
		Version:     plan.Version,
		Pipeline:    plan.Pipeline{Name: "shop"},
		Environment: plan.EnvironmentRef{Name: "dev", Kind: "environment"},
		Stages:      []plan.Stage{{Name: "all", Order: 1}},
	}
	for _, name := range []string{"web", "other"} {
		w.plan.Builds = append(w.plan.Builds, plan.BuildSpec{ID: name, Source: plan.Source{Path: name}, Context: ".", Dockerfile: "Dockerfile"})
		w.plan.Services = append(w.plan.Services, plan.Service{
			Name: name, Type: plan.Application, Stage: "all", Image: plan.ImageSource{Build: name}, Workload: plan.Workload{Replicas: 1},
		})
	}
	w.write("web", "A")
	w.watch()
	return w
}

func (w *waiting) write(source, content string) { w.world.Builder.SetSource(source, content) }

func (w *waiting) request(action runtime.Action, services []string) runtime.Request {
	req := runtime.Request{Action: action, Environment: waited, Services: services}
	if action == runtime.Deploy {
		req.Plan = w.plan
	}
	return req
}

func (w *waiting) run(action runtime.Action, services ...string) {
	w.Helper()
	w.ran(w.rt.Run(w.Context(), w.request(action, services)))
}

// watch does a run of watch mode.
func (w *waiting) watch(services ...string) {
	w.Helper()
	w.ran(w.session.Next().Run(w.Context(), w.request(runtime.Deploy, services)))
}

func (w *waiting) ran(record *runtime.RunRecord, err error) {
	w.Helper()
	w.must(err)
	w.last = record.ID
}

func (w *waiting) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// add adds a record that is newer than all others, as if its run had used the current files.
func (w *waiting) add(change func(*runtime.RunRecord)) {
	w.Helper()
	now := time.Now()
	inputs, err := w.rt.Inputs(w.Context(), w.request(runtime.Deploy, nil))
	w.must(err)
	r := runtime.RunRecord{ID: "added", Action: runtime.Deploy, Inputs: inputs, Start: now, End: now}
	for _, s := range w.plan.Services {
		r.Services = append(r.Services, runtime.ServiceRecord{Service: s.Name, Stage: s.Stage, State: runtime.Done})
	}
	change(&r)
	w.must(w.rt.Store.AddRun(w.Context(), waited, r))
	w.last = r.ID
}

// ask looks for a result, like pipe wait --fresh every second.
func (w *waiting) ask() (result settled, busy, found bool) {
	w.Helper()
	req := w.request(runtime.Deploy, nil)
	inputs, err := w.rt.Inputs(w.Context(), req)
	w.must(err)
	result.Inputs = inputs
	busy, found, err = about(w.Context(), w.rt, req, &result)
	w.must(err)
	return result, busy, found
}

// TestWaitFresh: an old success never counts as a new one, nor a partial success as a
// complete one. A state that matches the files is found, whatever its cause is.
func TestWaitFresh(t *testing.T) {
	const (
		waits   = ""
		byRun   = "by the last run"
		asIs    = "as it is" // without a run for these files
		failure = "failed in the last run"
	)
	for _, c := range []struct {
		name  string
		after func(w *waiting)
		want  string
	}{
		{"the newest run", func(*waiting) {}, byRun},
		{"files that were not deployed", func(w *waiting) { w.write("web", "B") }, waits},
		{"files put back", func(w *waiting) {
			w.write("web", "B")
			w.run(runtime.Deploy)
			w.write("web", "A")
		}, waits},
		{"a run of another service", func(w *waiting) {
			w.write("web", "B")
			w.run(runtime.Deploy, "other")
		}, waits},
		{"watch mode of another service", func(w *waiting) {
			w.write("web", "B")
			w.watch("other")
		}, waits},
		{"a run of the service that changed", func(w *waiting) {
			w.write("web", "B")
			w.run(runtime.Deploy, "web")
		}, asIs},
		{"a colleague's run from other files", func(w *waiting) {
			w.plan.Services[0].Workload.Replicas = 2
			w.run(runtime.Deploy)
			w.plan.Services[0].Workload.Replicas = 1
		}, waits},
		{"a colleague's run that came to the same", func(w *waiting) {
			w.plan.Pipeline.DeployParallelism = 2
			w.run(runtime.Deploy)
			w.plan.Pipeline.DeployParallelism = 0
		}, asIs},
		{"left alone as a colleague deployed it", func(w *waiting) {
			w.plan.Services[0].Workload.Replicas = 2
			w.run(runtime.Deploy, "web")
			w.plan.Services[0].Workload.Replicas = 1
			w.watch()
		}, waits},
		{"left alone as a colleague stopped it", func(w *waiting) {
			w.run(runtime.Stop, "web")
			w.watch()
		}, waits},
		{"left alone, and deployed on request", func(w *waiting) {
			w.run(runtime.Stop, "web")
			w.watch()
			w.session.Forget()
			w.watch()
		}, byRun},
		{"stopped", func(w *waiting) { w.run(runtime.Stop, "web") }, waits},
		{"stopped and started", func(w *waiting) {
			w.run(runtime.Stop, "web")
			w.run(runtime.Start, "web")
		}, asIs},
		{"deleted", func(w *waiting) { w.run(runtime.Delete, "web") }, waits},
		{"restarted", func(w *waiting) { w.run(runtime.Restart, "web") }, asIs},
		{"rolled back", func(w *waiting) {
			first := w.last
			w.write("web", "B")
			w.run(runtime.Deploy)
			req, err := w.rt.Rollback(w.Context(), runtime.Request{Environment: waited, RollbackTo: first})
			w.must(err)
			w.ran(w.rt.Run(w.Context(), req))
		}, waits},
		{"skipped when it ran", func(w *waiting) {
			w.plan.Services[0].Image, w.plan.Services[0].Chart = plan.ImageSource{}, &plan.Chart{Ref: "web"}
			w.must(w.rt.Skip(w.Context(), waited, "web"))
			w.run(runtime.Deploy)
			w.must(w.rt.Unskip(w.Context(), waited, "web"))
		}, waits},
		{"skipped", func(w *waiting) {
			w.must(w.rt.Skip(w.Context(), waited, "web"))
			w.run(runtime.Deploy)
		}, byRun},
		{"failed", func(w *waiting) {
			w.plan.Services[0].Image, w.plan.Services[0].Chart = plan.ImageSource{}, &plan.Chart{Ref: runtimetest.MissingChart}
			record, err := w.rt.Run(w.Context(), w.request(runtime.Deploy, nil))
			if err == nil {
				w.Fatal("a run with a missing chart succeeds")
			}
			w.last = record.ID
		}, failure},
		{"failed, and then stopped", func(w *waiting) {
			w.write("web", "B")
			w.add(func(r *runtime.RunRecord) { r.Error = "service web failed" })
			w.run(runtime.Stop, "web")
		}, waits},
		{"superseded", func(w *waiting) {
			w.write("web", "B")
			w.add(func(r *runtime.RunRecord) { r.Stale, r.Error = true, runtime.ErrStale.Error() })
		}, waits},
		{"killed", func(w *waiting) {
			w.write("web", "B")
			w.add(func(r *runtime.RunRecord) { r.End = time.Time{} })
		}, waits},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWaiting(t)
			c.after(w)
			result, busy, found := w.ask()
			got := waits
			switch {
			case found && !result.Done && result.Run == w.last && result.Error != "":
				got = failure
			case found && result.Done && result.Run == w.last && result.Error == "":
				got = byRun
			case found && result.Done && result.Run == "":
				got = asIs
			case found:
				got = "something else"
			}
			if got != c.want || busy {
				t.Errorf("found %q, busy %t, want %q: %+v", got, busy, c.want, result)
			}
		})
	}
}

// TestWaitBusy: during a run nothing is settled, whatever the result of the last one is.
func TestWaitBusy(t *testing.T) {
	w := newWaiting(t)
	lease, err := w.rt.Locker.Lock(t.Context(), waited, "bo@desk")
	w.must(err)
	if _, busy, found := w.ask(); !busy || found {
		t.Errorf("during a run: busy %t, found %t", busy, found)
	}
	w.must(lease.Release(t.Context()))
	if result, busy, found := w.ask(); busy || !found || !result.Done {
		t.Errorf("after it: busy %t, found %t, %+v", busy, found, result)
	}
}

// TestWaitSkipsStale: the result of a run that a newer one has superseded is ignored.
func TestWaitSkipsStale(t *testing.T) {
	b := newBench(t, oneApp, "run")
	b.run(t, statusDone)
	key := runtime.EnvironmentKey{Pipeline: "shop", Name: "default"}
	now := time.Now()
	err := b.world.Store.AddRun(t.Context(), key, runtime.RunRecord{
		ID: "added", Action: runtime.Deploy, Start: now, End: now, Stale: true, Error: runtime.ErrStale.Error(),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.again("wait", "default")
	b.run(t, statusDone)
	if out := b.stdout.String(); !strings.Contains(out, "default has settled: everything is deployed") {
		t.Errorf("stdout:\n%s", out)
	}
	runs, err := b.world.Store.Runs(t.Context(), key)
	if err != nil || !slices.ContainsFunc(runs, func(r runtime.RunRecord) bool { return r.Stale }) {
		t.Errorf("the record that is superseded is not the newest: %+v, %v", runs, err)
	}
}
