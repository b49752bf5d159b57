package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A change is a run of a session that starts at a moment.
type change struct {
	at  time.Duration
	set func(w *runtimetest.World, p *plan.Plan) // what is changed before it
}

// A changed is how the run of a change ended.
type changed struct {
	record *runtime.RunRecord
	err    error
	events recorder
}

// during runs a session on p and starts a run at the moment of each change.
func during(t *testing.T, w *runtimetest.World, p *plan.Plan, changes ...change) []*changed {
	t.Helper()
	session := w.Runtime().NewSession()
	began := time.Now()
	results := make([]*changed, len(changes))
	var wg sync.WaitGroup
	for i, c := range changes {
		time.Sleep(c.at - time.Since(began))
		if c.set != nil {
			c.set(w, p)
		}
		now := *p
		now.Services = slices.Clone(p.Services)
		now.Builds = slices.Clone(p.Builds)
		r := &changed{}
		results[i] = r
		turn := session.Next()
		wg.Go(func() {
			r.record, r.err = turn.Run(t.Context(), runtime.Request{
				Action: runtime.Deploy, Environment: staging, Plan: &now, KeepGoing: true, Prune: true, Events: r.events.add,
			})
		})
		synctest.Wait()
	}
	wg.Wait()
	for i, r := range results {
		checkRun(t, r.record, r.err, r.events.events)
		t.Logf("run %d: %v %v", i+1, states(r.record), r.err)
	}
	return results
}

// edit changes the source of a service.
func edit(name, content string) func(*runtimetest.World, *plan.Plan) {
	return func(w *runtimetest.World, _ *plan.Plan) { w.Builder.SetSource(name, content) }
}

// spans returns the spans of an operation, as "subject 0s-10s", in order.
func spans(w *runtimetest.World, op string) []string {
	var all []string
	for _, s := range w.Spans() {
		if s.Op == op {
			all = append(all, fmt.Sprintf("%s %v-%v", s.Subject, s.Start, s.End))
		}
	}
	slices.Sort(all)
	return all
}

func builds10(op, subject string) time.Duration {
	if op == "Builder.Build" {
		return 10 * time.Second
	}
	return time.Second
}

// TestStaleBuild holds W3: a newer change cancels the build that it makes stale,
// and no other.
func TestStaleBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = builds10
		p := pipeline(1)
		app(p, 1, "a")
		app(p, 1, "b")
		r := during(t, w, p, change{0, edit("a", "1")}, change{3 * time.Second, edit("a", "2")})
		if !errors.Is(r[0].err, runtime.ErrStale) {
			t.Errorf("the first run: %v, want %v", r[0].err, runtime.ErrStale)
		}
		want := []string{"a 0s-3s", "a 3s-13s", "b 0s-10s"}
		if got := spans(w, "Builder.Build"); !slices.Equal(got, want) {
			t.Errorf("builds %v, want %v", got, want)
		}
		if s := states(r[1].record); s["a"] != runtime.Done || s["b"] != runtime.Done {
			t.Errorf("the second run: %v", s)
		}
		for name, rel := range w.Deployer.Releases("shop-staging") {
			if rel.Revision != 1 {
				t.Errorf("%s has revision %d", name, rel.Revision)
			}
		}
	})
}

// TestOthersGoOn holds W3: a change of one service neither delays nor restarts
// the deploy of another, however long that takes, and the outcome is that of both.
func TestOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, subject string) time.Duration {
			if op == "Deployer.Deploy" && subject == "slow" {
				return time.Minute
			}
			return time.Second
		}
		p := pipeline(2)
		for i := range 9 { // more than there are slots
			app(p, 1, fmt.Sprint("x", i))
		}
		app(p, 1, "slow")
		app(p, 2, "later")
		p.Pipeline.DeployParallelism = 1
		p.Services[0], p.Services[9] = p.Services[9], p.Services[0] // it has the only slot
		r := during(t, w, p, change{0, nil}, change{20 * time.Second, edit("x3", "2")})
		want := []string{"slow 2s-1m2s"}
		if got := spans(w, "Deployer.Deploy"); !slices.Contains(got, want[0]) {
			t.Errorf("deploys %v, want %v among them", got, want)
		}
		for _, got := range spans(w, "Deployer.Deploy") {
			if strings.HasPrefix(got, "x3 ") && got > "x3 3" {
				t.Errorf("x3 waited for slow: %s", got)
			}
			if strings.HasPrefix(got, "later") && got != "later 1m3s-1m4s" {
				t.Errorf("the next stage did not wait for the whole stage before: %s", got)
			}
		}
		for name, s := range states(r[1].record) {
			if s != runtime.Done {
				t.Errorf("%s is %s", name, s)
			}
		}
	})
}

// TestGivesWay holds W3: what is written is ended, the wait for readiness gives
// way to the newer release of the same service, and the newest is deployed last.
func TestGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, subject string) time.Duration {
			if op == "Deployer.Deploy" {
				return time.Minute
			}
			return time.Second
		}
		p := pipeline(1)
		app(p, 1, "a")
		r := during(t, w, p, change{0, edit("a", "1")}, change{10 * time.Second, edit("a", "2")}, change{20 * time.Second, edit("a", "3")})
		got := spans(w, "Deployer.Deploy")
		want := []string{"a 11s-21s", "a 1s-11s", "a 21s-1m21s"} // sorted as strings
		if !slices.Equal(got, want) {
			t.Errorf("deploys %v, want %v", got, want)
		}
		if s := states(r[2].record)["a"]; s != runtime.Done {
			t.Errorf("a is %s", s)
		}
	})
}

// TestBackAgain changes a service and changes it back while the first change is
// deployed: what is deployed in the end is what a fresh run would deploy.
func TestBackAgain(t *testing.T) {
	for _, back := range []time.Duration{2, 5, 61, 90} {
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld()
			p := pipeline(1)
			app(p, 1, "a")
			w.Builder.SetSource("a", "1")
			if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
				t.Fatal(err)
			}
			w.Takes = func(op, subject string) time.Duration {
				if op == "Deployer.Deploy" {
					return time.Minute
				}
				return time.Second
			}
			during(t, w, p, change{0, edit("a", "2")}, change{back * time.Second, edit("a", "1")})
			w.Takes = nil
			record, err := run(t, w, runtime.Request{Plan: p})
			if err != nil || states(record)["a"] != runtime.Unchanged {
				t.Errorf("back after %d s: a fresh run finds %v, %v", back, states(record), err)
			}
		})
	}
}

// TestKnownFailure: what failed to build is not built again by a change of
// another service, and is when its source changes or when that is asked for.
func TestKnownFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := pipeline(1)
		app(p, 1, "a")
		app(p, 1, "b")
		p.Builds[0].Dockerfile = runtimetest.BrokenDockerfile
		session := w.Runtime().NewSession()
		again := func() *runtime.RunRecord {
			record, err := session.Next().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, KeepGoing: true})
			var failed *runtime.RunError
			if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Service != "a" {
				t.Errorf("error %v, want a failure of a", err)
			}
			return record
		}
		again()
		w.Builder.SetSource("b", "2")
		if s := states(again()); s["b"] != runtime.Done {
			t.Errorf("b is %s", s["b"])
		}
		if got := starts(w, "Builder.Build"); len(spans(w, "Builder.Build")) != 3 {
			t.Errorf("builds %v, want a once and b twice", got)
		}
		session.Forget()
		again()
		w.Builder.SetSource("a", "2")
		again()
		if got := spans(w, "Builder.Build"); len(got) != 5 {
			t.Errorf("builds %v, want a thrice and b twice", got)
		}
	})
}

// TestLeftAlone: what another run has deployed, stopped or deleted meanwhile is
// told, once, and left alone until the service changes here.
func TestLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		p := pipeline(1)
		for _, name := range []string{"a", "b", "c", "d"} {
			app(p, 1, name)
		}
		session := w.Runtime().NewSession()
		var warnings []string
		again := func(want map[string]runtime.State) *runtime.RunRecord {
			t.Helper()
			var events recorder
			record, err := session.Next().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, KeepGoing: true, Events: events.add})
			if err != nil {
				t.Fatal(err)
			}
			warnings = nil
			for _, e := range events.events {
				if w, ok := e.Body.(runtime.Warned); ok {
					warnings = append(warnings, w.Diagnostic.Message)
				}
			}
			for name, state := range want {
				if got := states(record)[name]; got != state {
					t.Errorf("%s is %s, want %s", name, got, state)
				}
			}
			return record
		}
		again(map[string]runtime.State{"a": runtime.Done})
		other := *p
		other.Builds = slices.Clone(p.Builds)
		other.Builds[0].Target = "theirs"
		if _, err := run(t, w, runtime.Request{Plan: &other, Services: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := run(t, w, runtime.Request{Action: runtime.Stop, Services: []string{"b"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := run(t, w, runtime.Request{Action: runtime.Delete, Services: []string{"c"}}); err != nil {
			t.Fatal(err)
		}
		w.Builder.SetSource("d", "2")
		record := again(map[string]runtime.State{"a": runtime.Unchanged, "b": runtime.Unchanged, "c": runtime.Unchanged, "d": runtime.Done})
		want := map[string]runtime.LeftAlone{
			"a": {Service: "a", Action: runtime.Deploy, Revision: 2}, "b": {Service: "b", Action: runtime.Stop}, "c": {Service: "c", Action: runtime.Delete},
		}
		if got := leftAlone(record); !maps.Equal(got, want) {
			t.Errorf("left alone %v, want %v", got, want)
		}
		if len(warnings) != 3 {
			t.Errorf("warnings %q, want one for each of a, b, c", warnings)
		}
		w.Builder.SetSource("a", "2")
		again(map[string]runtime.State{"a": runtime.Done, "b": runtime.Unchanged, "c": runtime.Unchanged})
		if len(warnings) != 0 {
			t.Errorf("told again: %q", warnings)
		}
		session.Forget()
		record = again(map[string]runtime.State{"a": runtime.Unchanged, "b": runtime.Done, "c": runtime.Done})
		if got := leftAlone(record); len(got) > 0 {
			t.Errorf("left alone %v, want none", got)
		}
	})
}

// leftAlone returns what a run has left alone, by service.
func leftAlone(record *runtime.RunRecord) map[string]runtime.LeftAlone {
	all := make(map[string]runtime.LeftAlone)
	for _, s := range record.Services {
		if s.LeftAlone != nil {
			all[s.Service] = *s.LeftAlone
		}
	}
	return all
}

// TestAddedAgain: a service that was removed from the file and is added again is
// deployed, whoever deleted its release meanwhile, and nothing is said of another run.
func TestAddedAgain(t *testing.T) {
	for _, by := range []string{"the session", "another run"} {
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld()
			p := pipeline(1)
			app(p, 1, "a")
			app(p, 1, "b")
			without := *p
			without.Services = p.Services[:1]
			session := w.Runtime().NewSession()
			again := func(p *plan.Plan) (*runtime.RunRecord, []runtime.Event) {
				t.Helper()
				var events recorder
				record, err := session.Next().Run(t.Context(), runtime.Request{
					Action: runtime.Deploy, Environment: staging, Plan: p, KeepGoing: true, Prune: by == "the session", Events: events.add,
				})
				if err != nil {
					t.Fatal(err)
				}
				return record, events.events
			}
			for round := range 2 { // there and back, twice
				again(p)
				record, _ := again(&without)
				if by == "the session" {
					if !slices.Equal(record.Pruned, []string{"b"}) {
						t.Errorf("pruned %v, want b", record.Pruned)
					}
				} else if _, err := run(t, w, runtime.Request{Plan: &without, Prune: true}); err != nil {
					t.Fatal(err)
				}
				record, events := again(p)
				if got := states(record)["b"]; got != runtime.Done {
					t.Errorf("pruned by %s, round %d: b is %s, want %s", by, round, got, runtime.Done)
				}
				for _, e := range events {
					if w, ok := e.Body.(runtime.Warned); ok {
						t.Errorf("pruned by %s: told %q", by, w.Diagnostic.Message)
					}
				}
			}
		})
	}
}

// TestAddedWhilePruned: a service that is added again while its release is deleted, or
// removed while it is deployed for the first time, ends as the last file says.
func TestAddedWhilePruned(t *testing.T) {
	remove := func(_ *runtimetest.World, p *plan.Plan) { p.Services = p.Services[:1] }
	add := func(_ *runtimetest.World, p *plan.Plan) { p.Services = p.Services[:2] }
	for at := range 14 {
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld()
			w.Takes = func(op, _ string) time.Duration {
				if op == "Deployer.Delete" || op == "Deployer.Deploy" {
					return 5 * time.Second
				}
				return time.Second
			}
			p := pipeline(1)
			app(p, 1, "a")
			app(p, 1, "b")
			hour := time.Hour
			during(t, w, p, change{0, nil}, change{hour, remove}, change{hour + time.Duration(at)*time.Second, add})
			if w.Deployer.Releases("shop-staging")["b"].Status != "deployed" {
				t.Errorf("added again after %d s: deployed are %v", at, w.Deployer.Releases("shop-staging"))
			}
		})
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld()
			w.Takes = func(op, _ string) time.Duration { return 2 * time.Second }
			p := pipeline(1)
			app(p, 1, "a")
			app(p, 1, "b")
			during(t, w, p, change{0, nil}, change{time.Duration(at) * time.Second, remove})
			if _, ok := w.Deployer.Releases("shop-staging")["b"]; ok {
				t.Errorf("removed after %d s: b is still deployed", at)
			}
		})
	}
}

// TestBackAfterFailure: a service whose change failed is deployed as before when the
// change is undone. What the session itself has left there is not of another run.
func TestBackAfterFailure(t *testing.T) {
	for _, onFailure := range []runtime.OnFailure{runtime.Rollback, runtime.Keep} {
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld()
			p := pipeline(1)
			s := service(p, 1, "a", plan.ImageSource{})
			s.Chart = &plan.Chart{Ref: "fine"}
			session := w.Runtime().NewSession()
			again := func() ([]runtime.Event, error) {
				var events recorder
				now := *p
				now.Services = slices.Clone(p.Services)
				_, err := session.Next().Run(t.Context(), runtime.Request{
					Action: runtime.Deploy, Environment: staging, Plan: &now, OnFailure: onFailure, Events: events.add,
				})
				return events.events, err
			}
			if _, err := again(); err != nil {
				t.Fatal(err)
			}
			good := w.Deployer.Releases("shop-staging")["a"].Fingerprint
			s.Chart = &plan.Chart{Ref: runtimetest.CrashingChart}
			var failed *runtime.RunError
			if _, err := again(); !errors.As(err, &failed) {
				t.Fatalf("a chart that crashes: %v", err)
			}
			s.Chart = &plan.Chart{Ref: "fine"}
			events, err := again()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if w, ok := e.Body.(runtime.Warned); ok {
					t.Errorf("%s: told %q", onFailure, w.Diagnostic.Message)
				}
			}
			if is := w.Deployer.Releases("shop-staging")["a"]; is.Fingerprint != good || !is.Ready {
				t.Errorf("%s: deployed is %s, want %s", onFailure, is.Fingerprint, good)
			}
		})
	}
}

// TestLeftAloneByOlder: a run that takes the outcome of a restart, which goes on, for
// its own says, too, that what another run has done is left alone.
func TestLeftAloneByOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = builds10
		p := pipeline(1)
		app(p, 1, "a")
		session := w.Runtime().NewSession()
		deploy := func() *runtime.RunRecord {
			t.Helper()
			record, err := session.Next().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
			if err != nil {
				t.Fatal(err)
			}
			return record
		}
		deploy()
		other := *p
		other.Services = slices.Clone(p.Services)
		other.Services[0].Workload.Replicas = 2
		if _, err := run(t, w, runtime.Request{Plan: &other}); err != nil {
			t.Fatal(err)
		}
		deploy()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := session.Restart(t.Context(), runtime.Request{Action: runtime.Restart, Environment: staging, Services: []string{"a"}}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		record := deploy()
		wg.Wait()
		if a := record.Services[0]; a.State != runtime.Done || a.LeftAlone == nil {
			t.Errorf("a is %s (%s), left alone %v; want what the restart did, left alone", a.State, a.Reason, a.LeftAlone)
		}
	})
}

// TestSharedLease: the lease is held while any run of a session goes on, and not
// between them.
func TestSharedLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = builds10
		p := pipeline(1)
		app(p, 1, "a")
		var free []bool
		look := func(w *runtimetest.World, p *plan.Plan) {
			holder, err := w.Locker.Holder(t.Context(), staging)
			if err != nil {
				t.Fatal(err)
			}
			free = append(free, holder == nil)
		}
		during(t, w, p, change{0, edit("a", "1")}, change{3 * time.Second, edit("a", "2")}, change{5 * time.Second, look}, change{time.Minute, look})
		if want := []bool{false, true}; !slices.Equal(free, want) {
			t.Errorf("the lease is free: %v, want %v", free, want)
		}
	})
}

// TestCancelShared: who cancels from elsewhere ends all runs of the session, and
// the next one works.
func TestCancelShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = builds10
		p := pipeline(1)
		app(p, 1, "a")
		app(p, 1, "b")
		stop := func(w *runtimetest.World, _ *plan.Plan) {
			if _, err := w.Locker.Cancel(t.Context(), staging, "ana"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		r := during(t, w, p, change{0, edit("a", "1")}, change{3 * time.Second, edit("a", "2")}, change{5 * time.Second, stop})
		for i, r := range r[:2] {
			var cancelled *runtime.CancelledError
			if !errors.As(r.err, &cancelled) && !errors.Is(r.err, runtime.ErrStale) {
				t.Errorf("run %d: %v", i+1, r.err)
			}
		}
		if r[2].err != nil {
			t.Errorf("the run after: %v", r[2].err)
		}
	})
}

// TestOutdatedWaits: of the runs that wait while somebody else holds the environment
// only the newest goes on.
func TestOutdatedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		p := pipeline(1)
		app(p, 1, "a")
		theirs, err := w.Locker.Lock(t.Context(), staging, "ben")
		if err != nil {
			t.Fatal(err)
		}
		session := w.Runtime().NewSession()
		errs := make([]error, 3)
		var wg sync.WaitGroup
		for i := range errs {
			w.Builder.SetSource("a", fmt.Sprint(i))
			turn := session.Next()
			wg.Go(func() {
				_, errs[i] = turn.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, WaitLock: true})
			})
			time.Sleep(10 * time.Second)
		}
		if err := theirs.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if !errors.Is(errs[0], runtime.ErrStale) || !errors.Is(errs[1], runtime.ErrStale) || errs[2] != nil {
			t.Errorf("errors %v, want two stale runs and nil", errs)
		}
	})
}

// TestInterruptedSession: when the context ends, all runs end, and the lease is given back.
func TestInterruptedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = builds10
		p := pipeline(1)
		app(p, 1, "a")
		session := w.Runtime().NewSession()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		var wg sync.WaitGroup
		for i := range 3 {
			time.Sleep(time.Second)
			w.Builder.SetSource("a", fmt.Sprint(i))
			wg.Go(func() {
				_, err := session.Next().Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
				if !errors.Is(err, why) && !errors.Is(err, runtime.ErrStale) {
					t.Errorf("run %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		cancel(why)
		wg.Wait()
		if holder, err := w.Locker.Holder(t.Context(), staging); err != nil || holder != nil {
			t.Errorf("holder %v, %v", holder, err)
		}
	})
}

// TestSessionSettles makes random changes at random moments. When all runs have
// ended, a fresh run finds nothing to do: what a session leaves is what a run of
// the last state leaves. No service is ever acted on by two runs at a time.
func TestSessionSettles(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			w := runtimetest.NewWorld()
			var mu sync.Mutex
			at := make(map[string]int)
			w.Takes = func(op, subject string) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(r.IntN(20)) * time.Second
			}
			w.Hook = func(_ context.Context, c runtimetest.Call) error {
				mu.Lock()
				defer mu.Unlock()
				switch c.Op {
				case "Deployer.Deploy":
					if at[c.Subject]++; at[c.Subject] > 1 {
						t.Errorf("seed %d: two runs are at %s", seed, c.Subject)
					}
				case "Deployer.Deploy end":
					at[c.Subject]--
				}
				return nil
			}
			p := pipeline(1 + r.IntN(3))
			p.Pipeline.DeployParallelism, p.Pipeline.BuildParallelism = 1+r.IntN(3), 1+r.IntN(3)
			n := 1 + r.IntN(6)
			for i := range n {
				app(p, 1+r.IntN(len(p.Stages)), fmt.Sprint("s", i))
			}
			var changes []change
			now := time.Duration(0)
			for range 1 + r.IntN(6) {
				now += time.Duration(r.IntN(25)) * time.Second
				name := fmt.Sprint("s", r.IntN(n))
				c := change{now, edit(name, fmt.Sprint(r.IntN(3)))}
				if r.IntN(3) == 0 { // the file changes, and not only a source
					i, replicas := r.IntN(n), 1+r.IntN(2)
					c.set = func(_ *runtimetest.World, p *plan.Plan) { p.Services[i].Workload.Replicas = replicas }
				}
				changes = append(changes, c)
			}
			results := during(t, w, p, changes...)
			if err := results[len(results)-1].err; err != nil {
				t.Errorf("seed %d: the last run: %v", seed, err)
			}
			w.Hook, w.Takes = nil, nil
			record, err := run(t, w, runtime.Request{Plan: p})
			for name, state := range states(record) {
				if err != nil || state != runtime.Unchanged {
					t.Errorf("seed %d: a fresh run finds %s %s, %v", seed, name, state, err)
				}
			}
		})
	}
}

// TestNotedFirst: in an environment that exists, a run of a session checks what it is
// going to write while the store notes that it has begun, and writes nothing before that.
func TestNotedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, subject string) time.Duration {
			if op == "Store.AddRun" {
				return 10 * time.Second
			}
			return time.Second
		}
		p := pipeline(1)
		app(p, 1, "a")
		during(t, w, p, change{0, nil}, change{time.Hour, edit("a", "2")})
		at := func(op string) runtimetest.Span {
			t.Helper()
			var last runtimetest.Span
			for _, s := range w.Spans() {
				if s.Op == op {
					last = s
				}
			}
			return last
		}
		var noted runtimetest.Span // the first note of the second run; the second one is its end
		for _, s := range w.Spans() {
			if s.Op == "Store.AddRun" && noted.Op == "" && s.Start >= time.Hour {
				noted = s
			}
		}
		check, deploy := at("Deployer.Check"), at("Deployer.Deploy")
		if check.End > noted.End || deploy.Start < noted.End {
			t.Errorf("noted %v to %v, checked %v to %v, deployed from %v", noted.Start, noted.End, check.Start, check.End, deploy.Start)
		}
	})
}

// TestNotNoted: a run of a session that cannot be noted fails for that reason, and
// writes nothing.
func TestNotNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		refused := errors.New("the store refuses it")
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Store.AddRun" && w.Count("Deployer.Deploy") == 1 && w.Count("Store.AddRun") == 3 {
				return refused
			}
			return nil
		}
		p := pipeline(1)
		app(p, 1, "a")
		r := during(t, w, p, change{0, nil}, change{time.Hour, edit("a", "2")})
		if !errors.Is(r[1].err, refused) || w.Count("Deployer.Deploy") != 1 {
			t.Errorf("error %v after %d deploys, want %v after 1", r[1].err, w.Count("Deployer.Deploy"), refused)
		}
	})
}
