package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// oneSlow is a plan with a service that takes a minute in worlds of minute.
func oneSlow() *plan.Plan {
	p := pipeline(1)
	service(p, 1, "slow", plan.ImageSource{})
	return p
}

func minute(op, subject string) time.Duration { return time.Minute }

func TestLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		p := oneSlow()
		since := time.Now()
		first := make(chan error)
		go func() {
			_, err := w.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, By: "ana@laptop"})
			first <- err
		}()
		time.Sleep(time.Second)
		record, err := w.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, By: "ben@server", Events: func(e runtime.Event) {
			t.Errorf("a refused run told %s", e.Body.Kind())
		}})
		var locked *runtime.LockedError
		if record != nil || !errors.As(err, &locked) || locked.Holder.By != "ana@laptop" || !locked.Holder.Since.Equal(since) || locked.Key != staging {
			t.Errorf("Run = %v, %v, want a LockedError", record, err)
		}
		if got, want := err.Error(), "environment staging is locked by ana@laptop since 2000-01-01T00:00:00Z"; got != want {
			t.Errorf("Run = %q, want %q", got, want)
		}
		// Another environment of the pipeline is not locked.
		other := runtime.EnvironmentKey{Pipeline: "shop", Name: "production"}
		if _, err := run(t, w, runtime.Request{Plan: p, Environment: other}); err != nil {
			t.Error(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestWaitLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		// The environment was deployed with a plan of nothing.
		if _, err := run(t, w, runtime.Request{Plan: pipeline(1)}); err != nil {
			t.Fatal(err)
		}
		// The second run is to act on the plan of the first, which is saved after
		// it has begun to wait.
		first := make(chan error)
		w.Hook = func(ctx context.Context, c runtimetest.Call) error {
			if c.Op == "Store.Save" {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		go func() {
			_, err := w.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: oneSlow(), By: "ana@laptop"})
			first <- err
		}()
		time.Sleep(time.Second)
		var waited []string
		record, err := run(t, w, runtime.Request{Action: runtime.Stop, WaitLock: true, Events: func(e runtime.Event) {
			if b, ok := e.Body.(runtime.WaitingFor); ok && e.Service == "" {
				waited = append(waited, b.What)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); got < 130*time.Second || got > 132*time.Second {
			t.Errorf("the second run ended after %v, want a minute after the first", got)
		}
		if len(waited) != 1 || !strings.Contains(waited[0], "locked by ana@laptop since") {
			t.Errorf("told to wait for %q", waited)
		}
		if got := states(record)["slow"]; got != runtime.Done {
			t.Errorf("slow is %s", got)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestWaitLockEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		if _, err := w.Locker.Lock(t.Context(), staging, "ana"); err != nil {
			t.Fatal(err)
		}
		record, err := run(t, w, runtime.Request{Plan: oneSlow(), WaitLock: true, Timeout: time.Minute})
		if record != nil || !errors.Is(err, runtime.ErrTimeout) {
			t.Errorf("Run = %v, %v, want ErrTimeout", record, err)
		}
		if want := "timed out after 1m0s: environment staging is locked by ana since 2000-01-01T00:00:00Z"; err.Error() != want {
			t.Errorf("Run = %q, want %q", err, want)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errInterrupt) })
		if _, err := w.Runtime().Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: oneSlow(), WaitLock: true}); !errors.Is(err, errInterrupt) {
			t.Errorf("Run = %v, want %v", err, errInterrupt)
		}
	})
}

func TestLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		time.AfterFunc(time.Second, func() { w.Locker.Lose(staging) })
		start := time.Now()
		record, err := run(t, w, runtime.Request{Plan: oneSlow()})
		if !errors.Is(err, runtime.ErrLeaseLost) {
			t.Errorf("Run = %v, want ErrLeaseLost", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the work went on for %v after the lease was lost", took-time.Second)
		}
		if s := record.Services[0]; s.State != runtime.Cancelled || s.Reason != runtime.ErrLeaseLost.Error() {
			t.Errorf("slow is %s: %q", s.State, s.Reason)
		}
	})
}

// TestTimeout: the error says what was waited for.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		p := pipeline(2)
		app(p, 1, "api")
		service(p, 1, "plain", plan.ImageSource{})
		service(p, 2, "later", plan.ImageSource{})
		record, err := run(t, w, runtime.Request{Plan: p, Timeout: 30 * time.Second})
		if want := "timed out after 30s, while at work on api (RUN make)"; !errors.Is(err, runtime.ErrTimeout) || err.Error() != want {
			t.Errorf("Run = %q, want %q", err, want)
		}
		if got := states(record); got["api"] != runtime.Cancelled || got["plain"] != runtime.Cancelled || got["later"] != runtime.Cancelled {
			t.Errorf("states %v", got)
		}
		_, err = run(t, w, runtime.Request{Plan: p, Timeout: 90 * time.Second})
		want := "timed out after 1m30s, while at work on api (deployment api: 0 of 1 replicas are available), plain (deployment plain: 0 of 1 replicas are available)"
		if !errors.Is(err, runtime.ErrTimeout) || err.Error() != want {
			t.Errorf("Run = %q, want %q", err, want)
		}
		// In time.
		if _, err = run(t, w, runtime.Request{Plan: p, Timeout: time.Hour}); err != nil {
			t.Error(err)
		}
	})
}

// TestEndedInTime: a context that ends after the last work has ended changes
// nothing.
func TestEndedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := w.Runtime().Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: oneSlow(), Events: func(e runtime.Event) {
			if s, ok := e.Body.(runtime.StateChanged); ok && s.State == runtime.Done {
				cancel()
			}
		}})
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// TestSlowCallback: events are delivered in order, all before Run returns, and
// slow ones keep no work waiting.
func TestSlowCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := pipeline(1)
		for i := range 30 {
			app(p, 1, fmt.Sprint("a", i))
		}
		calls, delivered := 0, 0
		record, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
			calls++
			if calls != delivered+1 {
				t.Errorf("event %d is delivered during another", e.Seq)
			}
			time.Sleep(time.Minute)
			delivered++
		}})
		if err != nil {
			t.Fatal(err)
		}
		if delivered < 100 {
			t.Errorf("only %d events", delivered)
		}
		// 30 builds and 30 deploys are five rounds each.
		if took := record.End.Sub(record.Start); took != 10*time.Second {
			t.Errorf("the run took %v, want 10s", took)
		}
	})
}

// late is a deployer that reports after it has returned.
type late struct {
	runtime.Deployer
	emits chan runtime.Emit
}

func (d late) Act(ctx context.Context, a runtime.Action, r runtime.Release, emit runtime.Emit) error {
	d.emits <- emit
	return d.Deployer.Act(ctx, a, r, emit)
}

func TestLateEvents(t *testing.T) {
	w := runtimetest.NewWorld()
	d := late{w.Deployer, make(chan runtime.Emit, 1)}
	rt := w.Runtime()
	rt.Deployer = d
	var events recorder
	record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: oneSlow(), Events: events.add})
	n := len(events.events)
	emit := <-d.emits
	emit(runtime.Log{Text: "too late"})
	checkRun(t, record, err, events.events)
	if len(events.events) != n {
		t.Errorf("an event came after the run")
	}
}

// TestPanickingDriver: the others are ended in good order, the lease is given
// back, and the error says who it was.
func TestPanickingDriver(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Hook = func(ctx context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Deploy" && c.Subject == "bad" {
			panic("nil map")
		}
		return nil
	}
	p := pipeline(1)
	service(p, 1, "bad", plan.ImageSource{})
	service(p, 1, "good", plan.ImageSource{})
	record, err := run(t, w, runtime.Request{Plan: p, KeepGoing: true})
	if err == nil || err.Error() != "service bad failed: deploy bad: panic: nil map" {
		t.Errorf("Run = %v", err)
	}
	if got := states(record); got["bad"] != runtime.Failed || got["good"] != runtime.Done {
		t.Errorf("states %v", got)
	}
	if w.Locker.Held(staging) != "" {
		t.Errorf("the lease is held")
	}
}

// TestSlowLook: a run that takes long to find out what to do says what
// it waits for.
func TestSlowLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Hook = func(ctx context.Context, c runtimetest.Call) error {
			if c.Op == "Builder.Identify" && c.Subject != "fast" {
				time.Sleep(20 * time.Second)
			}
			return nil
		}
		p := pipeline(1)
		for _, name := range []string{"fast", "a", "b"} {
			app(p, 1, name)
		}
		var waited []string
		if _, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
			if b, ok := e.Body.(runtime.WaitingFor); ok && e.Service == "" {
				waited = append(waited, b.What)
			}
		}}); err != nil {
			t.Fatal(err)
		}
		if len(waited) != 1 || len(waited[0]) != len("look for image of a, look for image of b") || strings.Contains(waited[0], "fast") {
			t.Errorf("told to wait for %q", waited)
		}
	})
}

// TestDeletedBeforeLock: what a run has read before it had the lease does not
// count: an environment that was deleted meanwhile is made again.
func TestDeletedBeforeLock(t *testing.T) {
	w := runtimetest.NewWorld()
	p := oneSlow()
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	w.Hook = func(ctx context.Context, c runtimetest.Call) error {
		if c.Op == "Locker.Lock" {
			return w.Store.Delete(ctx, staging)
		}
		return nil
	}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	if env, err := w.Store.Environment(t.Context(), staging); err != nil || env.Plan == nil {
		t.Errorf("the environment that was deployed: %v, %v", env, err)
	}
}
