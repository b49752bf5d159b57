package runtime_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// withTeardowns is a plan of a database, an application and, in the stage of the
// application, jobs for three moments.
func withTeardowns() *plan.Plan {
	p := pipeline(2)
	app(p, 1, "db")
	for _, on := range []plan.Moment{"deploy", "stop", "delete"} {
		app(p, 2, "on-"+string(on)).Workload.Job = &plan.JobSpec{On: on}
	}
	app(p, 2, "api")
	return p
}

// operations returns what was done to releases from the nth call on, in order.
func operations(w *runtimetest.World, from int) string {
	var all []string
	for _, c := range w.Calls()[from:] {
		op, isDeployer := strings.CutPrefix(c.Op, "Deployer.")
		if isDeployer && slices.Contains([]string{"Deploy", "Stop", "Start", "Restart", "Delete", "Remove"}, op) {
			all = append(all, strings.ToLower(op)+" "+c.Subject)
		}
	}
	return strings.Join(all, ", ")
}

// TestMoments: jobs run at their moment, before what comes after them goes, with the
// image of the last deploy, wherever that is asked for.
func TestMoments(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Takes = func(string, string) time.Duration { return time.Millisecond }
	from := 0
	act := func(action runtime.Action, p *plan.Plan, want string) *runtime.RunRecord {
		t.Helper()
		from = len(w.Calls())
		record, err := run(t, w, runtime.Request{Action: action, Plan: p})
		must(t, err)
		if got := operations(w, from); got != want {
			t.Errorf("%s: %s\nwant %s", action, got, want)
		}
		return record
	}
	p := withTeardowns()
	p.Pipeline.DeployParallelism = 1
	record := act(runtime.Deploy, p, "deploy db, deploy on-deploy, deploy api")
	for i, want := range map[int]string{2: "runs on stop", 3: "runs on delete"} {
		if s := record.Services[i]; s.State != runtime.Skipped || s.Reason != want || s.Image == "" {
			t.Errorf("a deploy ended with %+v, want %q and an image", s, want)
		}
	}
	// The sources are where the file is, and not here.
	builds := w.Count("Builder.Build")
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if strings.HasPrefix(c.Op, "Builder.") {
			return errors.New("there is no source here")
		}
		return nil
	}
	act(runtime.Stop, nil, "deploy on-stop, stop on-deploy, stop api, stop db")
	// What is stopped is not stopped again, and the job does not run again.
	record = act(runtime.Stop, nil, "")
	for _, s := range record.Services {
		if s.State != runtime.Unchanged && s.State != runtime.Skipped {
			t.Errorf("stopped again, %s is %s", s.Service, s.State)
		}
	}
	act(runtime.Start, nil, "start db, start on-deploy, start api")
	act(runtime.Start, nil, "")
	act(runtime.Delete, nil, "deploy on-delete, delete on-delete, delete on-deploy, delete on-stop, delete api, delete db, remove shop-staging")
	if w.Count("Builder.Build") != builds {
		t.Errorf("%d images were built again", w.Count("Builder.Build")-builds)
	}
	if _, err := w.Store.Environment(t.Context(), staging); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("the environment is still there: %v", err)
	}
}

// TestTeardownFails: what comes after a teardown stays if the job fails, and goes once the
// job is skipped.
func TestTeardownFails(t *testing.T) {
	w := runtimetest.NewWorld()
	p := withTeardowns()
	_, err := run(t, w, runtime.Request{Plan: p})
	must(t, err)
	fails := true
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if fails && c.Op == "Deployer.Deploy" && c.Subject == "on-delete" {
			return errors.New("no space for the backup")
		}
		return nil
	}
	for _, keepGoing := range []bool{false, true} {
		record, err := run(t, w, runtime.Request{Action: runtime.Delete, KeepGoing: keepGoing})
		if err == nil || !strings.Contains(err.Error(), "no space for the backup") {
			t.Errorf("Run = %v", err)
		}
		if got := states(record); got["api"] != runtime.Cancelled || got["db"] != runtime.Cancelled {
			t.Errorf("keep going %v: ended with %v", keepGoing, got)
		}
	}
	if got := len(w.Deployer.Releases("shop-staging")); got != 3 {
		t.Errorf("%d releases are left, want 3", got)
	}
	must(t, w.Runtime().Skip(t.Context(), staging, "on-delete"))
	_, err = run(t, w, runtime.Request{Action: runtime.Delete})
	must(t, err)
}

// TestNamedMoment: a job that is named acts whatever its moment, and of what is
// not named nothing is touched.
func TestNamedMoment(t *testing.T) {
	w := runtimetest.NewWorld()
	_, err := run(t, w, runtime.Request{Plan: withTeardowns()})
	must(t, err)
	from := len(w.Calls())
	for _, name := range []string{"api", "on-stop"} {
		_, err = run(t, w, runtime.Request{Action: runtime.Stop, Services: []string{name}})
		must(t, err)
	}
	_, err = run(t, w, runtime.Request{Services: []string{"on-delete"}})
	must(t, err)
	if got, want := operations(w, from), "stop api, deploy on-stop, deploy on-delete"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestInterruptedStop: a stop that died is ended by the next one, and a start
// takes back also half a one.
func TestInterruptedStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		_, err := run(t, w, runtime.Request{Plan: withTeardowns()})
		must(t, err)
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Deployer.Stop" && c.Subject == "db" {
				w.Die()
			}
			return nil
		}
		if _, err := run(t, w, runtime.Request{Action: runtime.Stop}); err == nil {
			t.Fatal("it did not die")
		}
		w.Hook = nil
		w.Revive()
		from := len(w.Calls())
		_, err = run(t, w, runtime.Request{Action: runtime.Stop, WaitLock: true})
		must(t, err)
		if got, want := operations(w, from), "stop db"; got != want && got != "deploy on-stop, "+want {
			t.Errorf("%s, want %s", got, want)
		}
		for name, r := range w.Deployer.Releases("shop-staging") {
			if !r.Stopped && name != "on-stop" {
				t.Errorf("%s is not stopped", name)
			}
		}
	})
}

// TestPrune: a release whose service is no longer in the plan is left as it is,
// and removed with --prune (D5); what others have deployed never is.
func TestPrune(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	_, err := run(t, w, runtime.Request{Plan: skipping()})
	must(t, err)
	smaller := pipeline(1)
	app(smaller, 1, "one")
	_, err = run(t, w, runtime.Request{Plan: smaller})
	must(t, err)
	if got, err := rt.Orphans(ctx, staging); err != nil || !slices.Equal(got, []runtime.Place{{Namespace: "shop-staging", Name: "three"}, {Namespace: "shop-staging", Name: "two"}}) {
		t.Errorf("Orphans = %v, %v", got, err)
	}
	prunes := func(req runtime.Request) (names []string) {
		t.Helper()
		req.Environment = staging
		steps, err := rt.Preview(ctx, req)
		must(t, err)
		for _, s := range steps {
			if s.Do == runtime.Deleting && s.Stage == "" {
				names = append(names, s.Service)
			}
		}
		return names
	}
	for _, test := range []struct {
		req  runtime.Request
		want []string
	}{
		{runtime.Request{Action: runtime.Deploy, Plan: smaller}, nil},
		{runtime.Request{Action: runtime.Deploy, Plan: smaller, Prune: true}, []string{"three", "two"}},
		{runtime.Request{Action: runtime.Delete}, []string{"three", "two"}},
		{runtime.Request{Action: runtime.Delete, Services: []string{"one"}}, nil},
	} {
		if got := prunes(test.req); !slices.Equal(got, test.want) {
			t.Errorf("Preview of %s %v, prune %v, would prune %v, want %v", test.req.Action, test.req.Services, test.req.Prune, got, test.want)
		}
	}
	record, err := run(t, w, runtime.Request{Plan: smaller, Prune: true})
	if err != nil || !slices.Equal(record.Pruned, []string{"three", "two"}) {
		t.Errorf("pruned %v, %v", record.Pruned, err)
	}
	if got := slices.Sorted(maps.Keys(w.Deployer.Releases("shop-staging"))); !slices.Equal(got, []string{"one"}) {
		t.Errorf("left %v", got)
	}
	kept, err := w.Store.Runs(ctx, staging)
	if err != nil || !slices.Equal(kept[0].Pruned, record.Pruned) {
		t.Errorf("recorded %v, %v", kept[0].Pruned, err)
	}
}

// TestRollback: the environment goes back to a run, with its plan and its images,
// by digest; nothing is built.
func TestRollback(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	one, two := skipping(), skipping()
	two.Services[0].Workload.Replicas = 2
	first, err := run(t, w, runtime.Request{Plan: one, Commit: "abc"})
	must(t, err)
	was := w.Deployer.Releases("shop-staging")
	w.Builder.SetSource("one", "another version")
	_, err = run(t, w, runtime.Request{Plan: two})
	must(t, err)
	if w.Deployer.Releases("shop-staging")["one"].Fingerprint == was["one"].Fingerprint {
		t.Fatal("nothing has changed")
	}
	builds := w.Count("Builder.Build")
	req, err := rt.Rollback(ctx, runtime.Request{Environment: staging, RollbackTo: first.ID[len(first.ID)-8:]})
	must(t, err)
	record, err := run(t, w, req)
	must(t, err)
	is := w.Deployer.Releases("shop-staging")
	for name := range was {
		if is[name].Fingerprint != was[name].Fingerprint || is[name].Image != was[name].Image {
			t.Errorf("%s is not as it was", name)
		}
	}
	if got := states(record); got["one"] != runtime.Done || got["two"] != runtime.Unchanged || got["one-skipped"] != runtime.Skipped {
		t.Errorf("ended with %v", got)
	}
	if record.RollbackTo != first.ID || record.Commit != "abc" || record.PlanDigest != first.PlanDigest {
		t.Errorf("recorded %+v", record)
	}
	if w.Count("Builder.Build") != builds {
		t.Errorf("something was built")
	}
	// A run completes such a request by itself.
	again, err := run(t, w, runtime.Request{Environment: staging, RollbackTo: first.ID})
	must(t, err)
	if again.RollbackTo != first.ID || again.PlanDigest != first.PlanDigest || states(again)["one"] != runtime.Unchanged {
		t.Errorf("recorded %+v of a request with RollbackTo alone", again)
	}
	// From now on this is the last plan.
	if env, err := w.Store.Environment(ctx, staging); err != nil || env.Plan.Services[0].Workload.Replicas != 1 {
		t.Errorf("the last plan is another one: %v", err)
	}
	// What was skipped then is not deployed, also if it is no longer skipped.
	must(t, rt.Unskip(ctx, staging, "one-skipped"))
	record, err = run(t, w, req)
	must(t, err)
	if s := record.Services[1]; s.State != runtime.Skipped || s.Reason != "run "+first.ID+" did not deploy it" {
		t.Errorf("%+v", s)
	}

	stopRun, err := run(t, w, runtime.Request{Action: runtime.Stop})
	must(t, err)
	w.Registry.Forget()
	_, err = run(t, w, req)
	var failed *runtime.RunError
	if !errors.As(err, &failed) || !strings.Contains(failed.Failed[0].Error, "the registry no longer has it") {
		t.Errorf("Run without the images = %v", err)
	}
	for id, want := range map[string]string{
		"nothing":  "run nothing of environment staging: not found; pipe history staging lists the stored runs",
		stopRun.ID: "run " + stopRun.ID + " was a stop, not a deploy",
		"20":       `"20" matches `,
	} {
		if _, err := rt.Rollback(ctx, runtime.Request{Environment: staging, RollbackTo: id}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Rollback(%s) = %v, want %q", id, err, want)
		}
	}
	runs, err := w.Store.Runs(ctx, staging)
	must(t, err)
	if _, err := rt.Rollback(ctx, runtime.Request{Environment: staging, RollbackTo: runs[0].ID}); err == nil || !strings.Contains(err.Error(), "failed (") {
		t.Errorf("Rollback to a run that failed = %v", err)
	}
}

// TestRollbackUnreachable: of an image that is deployed from where it is, by digest,
// nobody is asked, as this machine may not reach its registry while the cluster
// does; what the registry does not keep any more is foreseen, and the plan stays the
// last one.
func TestRollbackUnreachable(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	digest := plan.DigestOf([]byte("one"))
	image := "elsewhere/tool@" + string(digest)
	w.Registry.Upstream("elsewhere/tool:1", digest)
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
	one, two := pipeline(1), pipeline(1)
	for _, p := range []*plan.Plan{one, two} {
		service(p, 1, "tool", plan.ImageSource{Ref: image})
		service(p, 1, "cache", plan.ImageSource{Mirror: "redis:7"})
	}
	two.Services[0].Workload.Replicas = 2
	first, err := run(t, w, runtime.Request{Plan: one})
	must(t, err)
	_, err = run(t, w, runtime.Request{Plan: two})
	must(t, err)
	req, err := rt.Rollback(ctx, runtime.Request{Environment: staging, RollbackTo: first.ID})
	must(t, err)
	replicas := func() int {
		t.Helper()
		env, err := w.Store.Environment(ctx, staging)
		must(t, err)
		return env.Plan.Services[0].Workload.Replicas
	}

	answer := runtime.ErrNotFound
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Registry.Resolve" {
			if c.Subject == image {
				t.Errorf("asked for %s", image)
			}
			return answer
		}
		return nil
	}
	_, err = run(t, w, req)
	var failed *runtime.RunError
	if !errors.As(err, &failed) || failed.Failed[0].Service != "cache" || !strings.Contains(failed.Failed[0].Error, "the registry no longer has it") {
		t.Errorf("Run without the image = %v", err)
	}
	if got := replicas(); got != 2 {
		t.Errorf("after a rollback that could not begin the last plan has %d replicas, want 2", got)
	}

	answer = nil
	record, err := run(t, w, req)
	must(t, err)
	if s := record.Services[0]; s.State != runtime.Done || s.Image != image {
		t.Errorf("ended with %+v, want image %s deployed", s, image)
	}
	if got := replicas(); got != 1 {
		t.Errorf("after the rollback the last plan has %d replicas, want 1", got)
	}
}

// TestCancelFromElsewhere: pipe cancel ends a run, which ends what it writes.
func TestCancelFromElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		ended := make(chan error)
		go func() {
			_, err := w.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: oneSlow(), By: "ana@laptop"})
			ended <- err
		}()
		time.Sleep(time.Second)
		other := w.Runtime()
		if holder, err := other.Cancel(t.Context(), staging, "ben@server"); err != nil || holder != "ana@laptop" {
			t.Errorf("Cancel = %q, %v", holder, err)
		}
		err := <-ended
		var cancelled *runtime.CancelledError
		if !errors.As(err, &cancelled) || cancelled.By != "ben@server" || err.Error() != "cancelled by ben@server" {
			t.Errorf("Run = %v", err)
		}
		if _, err := other.Cancel(t.Context(), staging, "ben@server"); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("Cancel of no run = %v", err)
		}
	})
}

// TestSupersede: of those who wait only the newest goes on, if it says so.
func TestSupersede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		results := make(map[string]chan error)
		begin := func(by string, supersede bool) {
			result := make(chan error, 1)
			results[by] = result
			go func() {
				_, err := w.Runtime().Run(t.Context(), runtime.Request{
					Action: runtime.Deploy, Environment: staging, Plan: oneSlow(), By: by, WaitLock: true, Supersede: supersede, Force: true,
				})
				result <- err
			}()
			time.Sleep(3 * time.Second)
		}
		begin("holder", false)
		begin("patient", false)
		begin("old", true)
		begin("new", true)
		begin("later", false) // it superseded nobody, and came after all that did
		for by, want := range map[string]string{"holder": "", "patient": "old", "old": "new", "new": "", "later": ""} {
			err := <-results[by]
			var superseded *runtime.SupersededError
			switch {
			case want == "" && err != nil, want != "" && (!errors.As(err, &superseded) || superseded.By != want):
				t.Errorf("the run of %s ended with %v, want it superseded by %q", by, err, want)
			}
		}
	})
}
