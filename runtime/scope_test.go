package runtime_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// skipping is a plan of three stages with a skipped service in each.
func skipping() *plan.Plan {
	p := pipeline(3)
	for i, stage := range []string{"one", "two", "three"} {
		app(p, i+1, stage)
		s := app(p, i+1, stage+"-skipped")
		s.Skip = true
		s.SkipWhy = &plan.Reason{Text: "skip=True", Pos: plan.Pos{File: "Pipelinefile", Line: i + 1}}
	}
	return p
}

// acted returns the services that were acted on, in the order in which that began.
func acted(w *runtimetest.World, op string) string {
	var names []string
	for _, s := range w.Spans() {
		if s.Op == op {
			names = append(names, s.Subject)
		}
	}
	return strings.Join(names, " ")
}

// TestActions is the table of SPEC §4.
func TestActions(t *testing.T) {
	for _, test := range []struct {
		action   runtime.Action
		services []string
		op       string
		want     string // in this order
		states   map[string]runtime.State
	}{
		{runtime.Deploy, nil, "Deployer.Deploy", "one two three", map[string]runtime.State{
			"one": runtime.Done, "two": runtime.Done, "three": runtime.Done,
			"one-skipped": runtime.Skipped, "two-skipped": runtime.Skipped, "three-skipped": runtime.Skipped,
		}},
		{runtime.Stop, nil, "Deployer.Stop", "three two one", map[string]runtime.State{
			"one": runtime.Done, "two": runtime.Done, "three": runtime.Done,
			"one-skipped": runtime.Skipped, "two-skipped": runtime.Skipped, "three-skipped": runtime.Skipped,
		}},
		{runtime.Restart, nil, "Deployer.Restart", "one two three", map[string]runtime.State{
			"one": runtime.Done, "two": runtime.Done, "three": runtime.Done,
			"one-skipped": runtime.Skipped, "two-skipped": runtime.Skipped, "three-skipped": runtime.Skipped,
		}},
		{runtime.Delete, nil, "Deployer.Delete", "three three-skipped two two-skipped one one-skipped", map[string]runtime.State{
			"one": runtime.Done, "two": runtime.Done, "three": runtime.Done,
			"one-skipped": runtime.Done, "two-skipped": runtime.Done, "three-skipped": runtime.Done,
		}},
		// Named services are acted on though skipped, in the order of stages.
		{runtime.Deploy, []string{"three", "one-skipped"}, "Deployer.Deploy", "one-skipped three", map[string]runtime.State{
			"three": runtime.Done, "one-skipped": runtime.Done,
		}},
		{runtime.Stop, []string{"one-skipped", "three"}, "Deployer.Stop", "three one-skipped", map[string]runtime.State{
			"three": runtime.Done, "one-skipped": runtime.Done,
		}},
		{runtime.Restart, []string{"three-skipped", "one"}, "Deployer.Restart", "one three-skipped", map[string]runtime.State{
			"one": runtime.Done, "three-skipped": runtime.Done,
		}},
		{runtime.Delete, []string{"one", "three-skipped"}, "Deployer.Delete", "three-skipped one", map[string]runtime.State{
			"one": runtime.Done, "three-skipped": runtime.Done,
		}},
	} {
		t.Run(string(test.action)+" "+strings.Join(test.services, ","), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runtimetest.NewWorld()
				w.Takes = second
				p := skipping()
				p.Pipeline.DeployParallelism = 1 // so that there is an order
				if test.action != runtime.Deploy {
					var all []string
					for _, s := range p.Services {
						all = append(all, s.Name)
					}
					if _, err := run(t, w, runtime.Request{Plan: p, Services: all}); err != nil {
						t.Fatal(err)
					}
				}
				before := len(w.Calls())
				// No Pipelinefile is needed for what is not a deploy.
				req := runtime.Request{Action: test.action, Services: test.services}
				if test.action == runtime.Deploy {
					req.Plan = p
				}
				record, err := run(t, w, req)
				if err != nil {
					t.Fatal(err)
				}
				if got := acted(w, test.op); got != test.want {
					t.Errorf("%s on %q, want %q", test.op, got, test.want)
				}
				if diff := cmp.Diff(test.states, states(record)); diff != "" {
					t.Errorf("states (-want +got):\n%s", diff)
				}
				for _, c := range w.Calls()[before:] {
					if strings.HasPrefix(c.Op, "Builder.") && test.action != runtime.Deploy {
						t.Errorf("%s on %s", c.Op, c.Subject)
					}
					if len(test.services) > 0 && (strings.HasPrefix(c.Op, "Builder.") || c.Op == test.op) && !slices.Contains(test.services, c.Subject) {
						t.Errorf("%s on %s, which was not named", c.Op, c.Subject)
					}
				}
			})
		})
	}
}

func TestSkippedReason(t *testing.T) {
	w := runtimetest.NewWorld()
	p := skipping()
	p.Services[3].SkipWhy = nil
	app(p, 3, "cleanup").Workload.Job = &plan.JobSpec{On: "delete"}
	record, err := run(t, w, runtime.Request{Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, s := range record.Services {
		if s.State == runtime.Skipped {
			got[s.Service] = s.Reason
		}
	}
	want := map[string]string{
		"one-skipped":   "skip=True at Pipelinefile:1",
		"two-skipped":   "skipped",
		"three-skipped": "skip=True at Pipelinefile:3",
		"cleanup":       "runs on delete",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The job may run where nobody has its secrets any more.
	if prepared := w.Deployer.Prepared("shop-staging"); !slices.Equal(prepared, []string{"one", "two", "three", "cleanup"}) {
		t.Errorf("prepared for %v: what is left out must need no secrets", prepared)
	}
}

// TestPrepareCredentials: a database that is left out still has the credentials
// that others use.
func TestPrepareCredentials(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(2)
	service(p, 1, "db", plan.ImageSource{}).Skip = true
	service(p, 1, "other-db", plan.ImageSource{}).Skip = true
	service(p, 2, "api", plan.ImageSource{}).Workload.Env = []plan.EnvVar{{Name: "URL", Secret: &plan.SecretRef{Service: "db", Key: "url"}}}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	if prepared := w.Deployer.Prepared("shop-staging"); !slices.Equal(prepared, []string{"db", "api"}) {
		t.Errorf("prepared for %v, want db and api", prepared)
	}
}

func TestWrongRequests(t *testing.T) {
	p := skipping()
	for _, test := range []struct {
		name string
		req  runtime.Request
		want string
	}{
		{"service", runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, Services: []string{"one", "thre", "nothing-like-it"}},
			`pipeline shop has no service "thre" (did you mean "three"?), "nothing-like-it"; it has one, one-skipped, two, two-skipped, three, three-skipped`},
		{"no services", runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: pipeline(1), Services: []string{"one"}},
			`pipeline shop has no service "one": it has no services`},
		{"action", runtime.Request{Action: "explode", Environment: staging, Plan: p},
			`unknown action "explode"; the actions are deploy, stop, start, restart, delete`},
		{"environment", runtime.Request{Action: runtime.Deploy, Environment: runtime.EnvironmentKey{Pipeline: "shop"}},
			`the request names no environment: pipeline "shop", environment ""`},
		{"pipeline", runtime.Request{Action: runtime.Deploy, Environment: runtime.EnvironmentKey{Pipeline: "other", Name: "staging"}, Plan: p},
			`the plan belongs to pipeline shop, the environment to pipeline other`},
		{"no plan", runtime.Request{Action: runtime.Stop, Environment: staging},
			`environment staging of pipeline shop: not found; pipe envs lists the existing ones`},
	} {
		w := runtimetest.NewWorld()
		record, err := run(t, w, test.req)
		if record != nil || err == nil || err.Error() != test.want {
			t.Errorf("%s: Run = %v, %v, want %q", test.name, record, err, test.want)
		}
		if _, err := w.Runtime().Preview(t.Context(), test.req); err == nil || err.Error() != test.want {
			t.Errorf("%s: Preview = %v, want %q", test.name, err, test.want)
		}
		if n := w.Count("Locker.Lock"); n != 0 {
			t.Errorf("%s: %d locks for a wrong request", test.name, n)
		}
	}
}

// TestEnvironmentOfPlan: a request that names no environment is for the one that
// its plan was evaluated for, also in what locks and keeps it.
func TestEnvironmentOfPlan(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Locker.Lock" && c.Subject != staging.Name {
			t.Errorf("the lock is of %q, want %q", c.Subject, staging.Name)
		}
		return nil
	}
	req := runtime.Request{Action: runtime.Deploy, Plan: skipping()}
	if _, err := w.Runtime().Preview(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Runtime().Run(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	env, err := w.Store.Environment(t.Context(), staging)
	if err != nil || env.Plan == nil {
		t.Errorf("Environment(%v) = %v, %v, want the deployed one", staging, env, err)
	}
	req.Environment.Name = "production"
	if _, err := w.Runtime().Preview(t.Context(), req); err != nil {
		t.Errorf("with an environment of its own: %v", err)
	}
}

// TestDeleteRemoves: an environment that was deleted whole is not an environment any
// more; one with deleted services is.
func TestDeleteRemoves(t *testing.T) {
	w := runtimetest.NewWorld()
	p := skipping()
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, w, runtime.Request{Action: runtime.Delete, Services: []string{"one"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.Environment(t.Context(), staging); err != nil {
		t.Errorf("after the delete of a service: %v", err)
	}
	if _, err := run(t, w, runtime.Request{Action: runtime.Delete}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.Environment(t.Context(), staging); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("after the delete of all: %v, want ErrNotFound", err)
	}
	if left := w.Deployer.Releases("shop-staging"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestStopped: a service that was stopped, or never deployed, is not stopped
// again; the next deploy brings it back.
func TestStopped(t *testing.T) {
	w := runtimetest.NewWorld()
	p := skipping()
	if _, err := run(t, w, runtime.Request{Plan: p, Services: []string{"one"}}); err != nil {
		t.Fatal(err)
	}
	record, err := run(t, w, runtime.Request{Action: runtime.Stop})
	if err != nil {
		t.Fatal(err)
	}
	if got := states(record); got["one"] != runtime.Done || got["two"] != runtime.Unchanged {
		t.Errorf("stop: %v", got)
	}
	if record, err = run(t, w, runtime.Request{Plan: p, Services: []string{"one"}}); err != nil || states(record)["one"] != runtime.Done {
		t.Errorf("deploy after stop: %v, %v", states(record), err)
	}
}

// TestSaved: what is kept of an environment and its runs (E1, E5).
func TestSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := skipping()
		p.Environment.Kind, p.Environment.Source, p.Environment.Branch = "preview", "staging", "feature"
		record, err := run(t, w, runtime.Request{Plan: p, By: "ana@laptop", Commit: "4f3a9c1"})
		if err != nil {
			t.Fatal(err)
		}
		env, err := w.Store.Environment(t.Context(), staging)
		if err != nil {
			t.Fatal(err)
		}
		digest, _ := p.Digest()
		if got, _ := env.Plan.Digest(); got != digest || env.Kind != "preview" || env.Source != "staging" || env.Branch != "feature" {
			t.Errorf("kept %+v", env)
		}
		if record.PlanDigest != digest || record.By != "ana@laptop" || record.Commit != "4f3a9c1" || record.End.Sub(record.Start) != 6*time.Second {
			t.Errorf("record %+v", record)
		}
		kept, err := w.Store.Runs(t.Context(), staging)
		if err != nil || len(kept) != 1 {
			t.Fatalf("%d runs are kept, %v", len(kept), err)
		}
		plan, err := w.Store.Run(t.Context(), staging, record.ID)
		if err != nil || !reflect.DeepEqual(plan.Plan, p) {
			t.Errorf("the plan of the run is not kept: %v", err)
		}
		if diff := cmp.Diff(*record, kept[0], cmpopts.IgnoreFields(runtime.RunRecord{}, "Plan")); diff != "" {
			t.Errorf("record, and what is kept of it (-record +kept):\n%s", diff)
		}
		// With the same plan the environment is not written again.
		revision := env.Revision
		if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
			t.Fatal(err)
		}
		if env, err = w.Store.Environment(t.Context(), staging); err != nil || env.Revision != revision {
			t.Errorf("revision %s, want %s (%v)", env.Revision, revision, err)
		}
	})
}

// TestSaveConflict: an override that is written while a run starts is kept.
func TestSaveConflict(t *testing.T) {
	w := runtimetest.NewWorld()
	p := skipping()
	if _, err := run(t, w, runtime.Request{Plan: pipeline(1)}); err != nil {
		t.Fatal(err)
	}
	rt := w.Runtime()
	rt.Locker = meanwhile{w.Locker, func() {
		env, err := w.Store.Environment(t.Context(), staging)
		if err != nil {
			t.Fatal(err)
		}
		env.Expires = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := w.Store.Save(t.Context(), env); err != nil {
			t.Fatal(err)
		}
	}}
	if _, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p}); err != nil {
		t.Fatal(err)
	}
	env, err := w.Store.Environment(t.Context(), staging)
	if err != nil || env.Expires.IsZero() || len(env.Plan.Stages) != 3 {
		t.Errorf("kept %+v, %v", env, err)
	}
}

// meanwhile does something whenever a lease is taken.
type meanwhile struct {
	runtime.Locker
	do func()
}

func (m meanwhile) Lock(ctx context.Context, key runtime.EnvironmentKey, holder string) (runtime.Lease, error) {
	m.do()
	return m.Locker.Lock(ctx, key, holder)
}
