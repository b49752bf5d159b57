package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// busyPlan has a bit of everything: a copied image that must be signed, an image of several
// services that is signed, one from elsewhere, none, a skipped service, a Secret that comes late, a
// namespace of its own, three stages.
func busyPlan(w *runtimetest.World) *plan.Plan {
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
	w.Registry.Upstream("elsewhere/tool:1", plan.DigestOf([]byte("tool")))
	p := pipeline(3)
	service(p, 1, "redis", plan.ImageSource{Mirror: "redis:7"})
	service(p, 1, "migrate", plan.ImageSource{Build: "api"})
	app(p, 2, "api")
	app(p, 2, "web")
	service(p, 2, "chart", plan.ImageSource{})
	service(p, 2, "operator", plan.ImageSource{}).Namespace = "operators"
	service(p, 2, "left-out", plan.ImageSource{Mirror: "redis:7"}).Skip = true
	service(p, 2, "maker", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.SecretChart}
	needing(p, 2, "waits", "maker", "value")
	app(p, 3, "late")
	service(p, 3, "tool", plan.ImageSource{Ref: "elsewhere/tool:1"})
	w.Signatures.Give("key")
	w.Signatures.Add(plan.DigestOf([]byte("redis")), "key")
	p.Pipeline.Sign = signedBy("key")
	p.Pipeline.Verify = []plan.SignatureRule{required("key", "docker.io/library/*", "registry.test/*")}
	return p
}

// A fault is something that goes wrong in one step of a run.
type fault struct {
	name string
	do   func(ctx context.Context, w *runtimetest.World, cancel context.CancelCauseFunc) error
	may  func(err error) bool // be the error of the run
}

var (
	errFault     = errors.New("the network is down")
	errInterrupt = errors.New("interrupted by SIGINT")
)

var faults = []fault{
	{
		"fails",
		func(context.Context, *runtimetest.World, context.CancelCauseFunc) error { return errFault },
		func(err error) bool { return errors.Is(err, errFault) },
	},
	{
		"is cancelled",
		func(_ context.Context, _ *runtimetest.World, cancel context.CancelCauseFunc) error {
			cancel(errInterrupt)
			return nil
		},
		func(err error) bool { return err == nil || errors.Is(err, errInterrupt) },
	},
	{
		"hangs",
		func(ctx context.Context, _ *runtimetest.World, _ context.CancelCauseFunc) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(2 * time.Hour): // a write that is to be ended, by a server that does not answer
				return errFault
			}
		},
		func(err error) bool {
			return errors.Is(err, runtime.ErrTimeout) || errors.Is(err, errFault) || errors.Is(err, context.DeadlineExceeded)
		},
	},
	{
		"loses the lease",
		func(_ context.Context, w *runtimetest.World, _ context.CancelCauseFunc) error {
			w.Locker.Lose(staging)
			return nil
		},
		func(err error) bool { return err == nil || errors.Is(err, runtime.ErrLeaseLost) },
	},
	{
		"dies",
		func(_ context.Context, w *runtimetest.World, _ context.CancelCauseFunc) error {
			w.Die()
			return nil
		},
		func(err error) bool { return errors.Is(err, runtimetest.ErrDead) },
	},
}

// TestFaults has every fault happen in every step of a run, and checks: what is
// true of every run (checkRun), that the record is kept, the lease given back,
// no release left in between; and that the next run completes, does again only
// what was not done, and needs nobody's help (A3, A4, A6).
func TestFaults(t *testing.T) {
	whole := 0
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		if _, err := run(t, w, runtime.Request{Plan: busyPlan(w)}); err != nil {
			t.Fatal(err)
		}
		whole = len(w.Calls())
	})
	if whole < 40 {
		t.Errorf("a whole run has only %d steps", whole)
	}
	for _, f := range faults {
		for _, keepGoing := range []bool{false, true} {
			steps := whole
			for n := 1; n <= steps; n++ {
				synctest.Test(t, func(t *testing.T) {
					steps = max(steps, faultAt(t, f, n, keepGoing))
				})
				if t.Failed() {
					t.Fatalf("%s in step %d of %d, keep going: %v", f.name, n, steps, keepGoing)
				}
			}
		}
	}
}

// faultAt runs with a fault in the nth step and returns how many steps there were.
func faultAt(t *testing.T, f fault, n int, keepGoing bool) (steps int) {
	w := runtimetest.NewWorld()
	w.Takes = second
	p := busyPlan(w)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	op, subject, aside, byTag, unclaimed := "", "", false, false, false
	w.Hook = func(ctx context.Context, c runtimetest.Call) error {
		if c.N != n {
			return nil
		}
		op, subject = c.Op, c.Subject
		// What is done beside the run, and what is noted when it has ended.
		aside = op == "Store.Expired" || op == "Store.Save" && w.Count("Store.AddRun") > 1
		// A registry that does not answer, of an image that is not copied: its tag is deployed.
		byTag = f.name == "hangs" && op == "Registry.Resolve" && strings.HasPrefix(subject, "elsewhere/")
		// A registry that keeps no claims is a warning.
		unclaimed = f.name == "fails" && op == "Registry.Claim"
		return f.do(ctx, w, cancel)
	}
	var events recorder
	req := runtime.Request{
		Action: runtime.Deploy, Environment: staging, Plan: p, KeepGoing: keepGoing,
		Timeout: time.Hour, Events: events.add, By: "ana",
	}
	record, err := w.Runtime().Run(ctx, req)
	steps = len(w.Calls())
	if op == "" {
		t.Fatalf("there were only %d steps", steps)
	}
	where := fmt.Sprintf("%s in step %d, %s %s", f.name, n, op, subject)
	checkRun(t, record, err, events.events)
	if err != nil && !f.may(err) {
		t.Errorf("%s: Run = %v", where, err)
	}
	if err == nil && f.name != "is cancelled" && f.name != "loses the lease" && op != "Lease.Release" && !aside && !byTag && !unclaimed {
		t.Errorf("%s: Run = nil", where)
	}
	dead, unreleased := f.name == "dies", op == "Lease.Release" && f.name != "is cancelled"
	if !dead {
		if pending := w.Deployer.Pending(); len(pending) > 0 && op != "Deployer.Deploy end" {
			t.Errorf("%s: left %v in between", where, pending)
		}
		if holder := w.Locker.Held(staging); holder != "" && !unreleased {
			t.Errorf("%s: the lease is held by %s", where, holder)
		}
	}
	kept, listErr := w.Store.Runs(context.WithoutCancel(ctx), staging)
	if !dead && record != nil && op != "Store.AddRun" {
		if listErr != nil || len(kept) != 1 || kept[0].End.IsZero() || !slices.EqualFunc(kept[0].Services, record.Services, func(a, b runtime.ServiceRecord) bool {
			return a.State == b.State && a.Error == b.Error
		}) {
			t.Errorf("%s: kept the records %+v, want %+v", where, kept, record)
		}
	}
	done := make(map[string]bool)
	for _, namespace := range []string{staging.Namespace(), "operators"} {
		for name, r := range w.Deployer.Releases(namespace) {
			done[name] = r.Ready && r.Status == "deployed"
		}
	}

	// The next run, by another process.
	w.Hook = nil
	w.Revive()
	record, err = run(t, w, runtime.Request{Plan: p, WaitLock: true, By: "ben"})
	if err != nil {
		t.Errorf("%s: the next Run = %v", where, err)
		return steps
	}
	for name, state := range states(record) {
		want := runtime.Done
		switch {
		case name == "left-out":
			want = runtime.Skipped
		case byTag && name == "tool": // the registry tells the digest now
		case done[name]:
			want = runtime.Unchanged
		}
		if state != want {
			t.Errorf("%s: in the next run %s is %s, want %s", where, name, state, want)
		}
	}
	if _, err := run(t, w, runtime.Request{Action: runtime.Delete}); err != nil || len(w.Deployer.Namespaces()) > 0 {
		t.Errorf("%s: after a delete (%v) there are the namespaces %v", where, err, w.Deployer.Namespaces())
	}
	return steps
}

// TestCancelCause: the error of a cancelled run is the cause, and every service
// says it.
func TestCancelCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := busyPlan(w)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(2500*time.Millisecond, func() { cancel(errInterrupt) }) // redis and migrate are deployed; api and web are built
		var events recorder
		record, err := w.Runtime().Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, Events: events.add})
		checkRun(t, record, err, events.events)
		if !errors.Is(err, errInterrupt) || err.Error() != errInterrupt.Error() {
			t.Errorf("Run = %v, want %v", err, errInterrupt)
		}
		got := states(record)
		if got["migrate"] != runtime.Done || got["web"] != runtime.Cancelled || got["late"] != runtime.Cancelled {
			t.Errorf("states %v", got)
		}
		for _, s := range record.Services {
			if s.State == runtime.Cancelled && s.Reason != errInterrupt.Error() {
				t.Errorf("%s is cancelled: %q", s.Service, s.Reason)
			}
		}
	})
}

// TestCancelAfterFailure: both are told.
func TestCancelAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, subject string) time.Duration {
			if subject == "slow" {
				return time.Hour
			}
			return time.Second
		}
		p := pipeline(1)
		service(p, 1, "crashing", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.CrashingChart}
		service(p, 1, "slow", plan.ImageSource{})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errInterrupt) })
		record, err := w.Runtime().Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
		var failed *runtime.RunError
		if !errors.Is(err, errInterrupt) || !errors.As(err, &failed) {
			t.Errorf("Run = %v, want both", err)
		}
		if got, want := err.Error(), "interrupted by SIGINT; service crashing failed: deploy crashing: CrashLoopBackOff"; got != want {
			t.Errorf("Run = %q, want %q", got, want)
		}
		if got := states(record); got["crashing"] != runtime.Failed || got["slow"] != runtime.Cancelled {
			t.Errorf("states %v", got)
		}
	})
}
