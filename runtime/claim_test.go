package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// built is what a run that builds the service api has reported.
type built struct {
	record *runtime.RunRecord
	err    error
	waits  []string
	warned []string
}

// image returns the image that api was deployed with.
func (b built) image() string {
	for _, s := range b.record.Services {
		if s.Service == "api" {
			return s.Image
		}
	}
	return ""
}

// build deploys a plan whose service api is built, to an environment of its own.
func build(ctx context.Context, w *runtimetest.World, environment, by, dockerfile string) (b built) {
	return buildOn(ctx, w.Runtime(), environment, by, dockerfile)
}

// buildOn is build on a runtime.
func buildOn(ctx context.Context, rt *runtime.Runtime, environment, by, dockerfile string) (b built) {
	p := pipeline(1)
	app(p, 1, "api")
	p.Builds[0].Dockerfile = dockerfile
	b.record, b.err = rt.Run(ctx, runtime.Request{
		Action: runtime.Deploy, Environment: runtime.EnvironmentKey{Pipeline: "shop", Name: environment}, Plan: p, By: by,
		Events: func(e runtime.Event) {
			switch body := e.Body.(type) {
			case runtime.WaitingFor:
				b.waits = append(b.waits, body.What)
			case runtime.Warned:
				b.warned = append(b.warned, body.Diagnostic.Message)
			}
		},
	})
	return b
}

// TestBuiltOnce: two environments that deploy the same source at the same moment build it
// once (I2).
func TestBuiltOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		first := make(chan built)
		go func() { first <- build(t.Context(), w, "one", "ana@laptop", "Dockerfile") }()
		time.Sleep(time.Second)
		b := build(t.Context(), w, "two", "ben@server", "Dockerfile")
		a := <-first
		if a.err != nil || b.err != nil {
			t.Fatal(a.err, b.err)
		}
		if n := w.Count("Builder.Build"); n != 1 {
			t.Errorf("built %d times, want once", n)
		}
		if want := "the image of api: ana@laptop builds it"; !slices.Contains(b.waits, want) {
			t.Errorf("the second run waits for %q, want %q", b.waits, want)
		}
		if one, two := a.image(), b.image(); one != two || one == "" {
			t.Errorf("deployed %q and %q", one, two)
		}
	})
}

// TestBuiltNoticed: a run notices soon that the build of another one has ended, though it asks rarely
// during a long one.
func TestBuiltNoticed(t *testing.T) {
	for _, row := range []struct {
		takes, soon time.Duration
		asked       int
	}{{2 * time.Second, 300 * time.Millisecond, 20}, {10 * time.Minute, time.Second, 640}} {
		t.Run(row.takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runtimetest.NewWorld()
				w.Takes = func(op, _ string) time.Duration {
					if op == "Builder.Build" {
						return row.takes
					}
					return 0
				}
				first := make(chan time.Time)
				go func() {
					build(t.Context(), w, "one", "ana@laptop", "Dockerfile")
					first <- time.Now()
				}()
				synctest.Wait()
				second := make(chan time.Time)
				go func() {
					if b := build(t.Context(), w, "two", "ben@server", "Dockerfile"); b.err != nil {
						t.Error(b.err)
					}
					second <- time.Now()
				}()
				if late := -time.Until(<-first); late != 0 {
					t.Fatalf("the end of the first run is %v ago", late)
				}
				ended := time.Now()
				if late := (<-second).Sub(ended); late > row.soon {
					t.Errorf("the second run ended %v later, want at most %v", late, row.soon)
				}
				if n := w.Count("Registry.Resolve"); n > row.asked {
					t.Errorf("the registry was asked for images %d times, want at most %d", n, row.asked)
				}
			})
		})
	}
}

// A noticing is a registry that notices when a claim has ended.
type noticing struct {
	runtime.Registry
	ended chan struct{}
}

func (n noticing) Claim(ctx context.Context, ref, by string, always bool) (runtime.Claim, error) {
	c, err := n.Registry.Claim(ctx, ref, by, always)
	var other *runtime.ClaimedError
	if errors.As(err, &other) {
		other.Wait = func(ctx context.Context) error {
			select {
			case <-n.ended:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return c, err
}

// TestBuiltWaited: a run asks for nothing while the registry waits for the end of a claim, and ends
// with its context.
func TestBuiltWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		first := make(chan built)
		go func() { first <- build(t.Context(), w, "one", "ana@laptop", "Dockerfile") }()
		synctest.Wait()
		rt, ended := w.Runtime(), make(chan struct{})
		rt.Registry = noticing{rt.Registry, ended}
		second := make(chan built)
		go func() { second <- buildOn(t.Context(), rt, "two", "ben@server", "Dockerfile") }()
		ctx, cancel := context.WithCancelCause(t.Context())
		third := make(chan built)
		go func() { third <- buildOn(ctx, rt, "three", "eva@server", "Dockerfile") }()
		time.Sleep(time.Second)
		before := w.Count("Registry.Resolve") + w.Count("Registry.Claim")
		time.Sleep(10 * time.Second)
		if n := w.Count("Registry.Resolve") + w.Count("Registry.Claim") - before; n != 0 {
			t.Errorf("the registry was asked %d times during the wait, want never", n)
		}
		enough := errors.New("enough")
		cancel(enough)
		if b := <-third; !errors.Is(b.err, enough) {
			t.Errorf("the cancelled run: %v", b.err)
		}
		a := <-first
		close(ended)
		b := <-second
		if a.err != nil || b.err != nil || a.image() != b.image() || w.Count("Builder.Build") != 1 {
			t.Errorf("%v and %v, deployed %q and %q, built %d times", a.err, b.err, a.image(), b.image(), w.Count("Builder.Build"))
		}
	})
}

// TestBuiltMeanwhile: a run that waits for the builds of another one takes no slots for that, so it
// builds what nobody builds yet, and two runs share the work.
func TestBuiltMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 4
		w := runtimetest.NewWorld()
		w.Takes = func(op, _ string) time.Duration {
			if op == "Builder.Build" {
				return time.Minute
			}
			return 0
		}
		began := time.Now()
		var wg sync.WaitGroup
		for _, env := range []string{"one", "two"} {
			p := pipeline(1)
			for i := range images {
				app(p, 1, fmt.Sprint("api", i))
			}
			p.Pipeline.BuildParallelism = images / 2
			wg.Go(func() {
				if _, err := w.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: runtime.EnvironmentKey{Pipeline: "shop", Name: env}, Plan: p, By: env}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // the first run has claimed as many builds as it has slots
		}
		wg.Wait()
		if n := w.Count("Builder.Build"); n != images {
			t.Errorf("%d builds, want %d", n, images)
		}
		if took := time.Since(began); took >= 2*time.Minute {
			t.Errorf("the runs took %v, want little more than the minute of one build", took)
		}
	})
}

// TestBuiltAfterFailure: if the build of another process fails, the run builds the image
// itself, and has its own error.
func TestBuiltAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		first := make(chan built)
		go func() { first <- build(t.Context(), w, "one", "ana@laptop", runtimetest.BrokenDockerfile) }()
		time.Sleep(time.Second)
		b := build(t.Context(), w, "two", "ben@server", runtimetest.BrokenDockerfile)
		<-first
		var wrong *runtime.BuildError
		if !errors.As(b.err, &wrong) || w.Count("Builder.Build") != 2 {
			t.Errorf("%v after %d builds, want a BuildError after two", b.err, w.Count("Builder.Build"))
		}
	})
}

// TestBuiltAfterDeath: if the other process dies, its claim expires.
func TestBuiltAfterDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Builder.Build push" {
				w.Die()
			}
			return nil
		}
		if a := build(t.Context(), w, "one", "ana@laptop", "Dockerfile"); a.err == nil {
			t.Fatal("the first run did not die")
		}
		w.Hook = nil
		w.Revive()
		began := time.Now()
		b := build(t.Context(), w, "two", "ben@server", "Dockerfile")
		if b.err != nil || w.Count("Builder.Build") != 2 {
			t.Fatalf("%v after %d builds", b.err, w.Count("Builder.Build"))
		}
		if waited := time.Since(began) - 2*time.Minute; waited > 20*time.Second {
			t.Errorf("it waited for %s", waited)
		}
	})
}

// TestBuildLost: a run whose claim another process has taken stops building, and waits.
func TestBuildLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = minute
		claimed := make(chan string, 100)
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Registry.Claim" {
				claimed <- c.Subject
			}
			return nil
		}
		first := make(chan built)
		go func() { first <- build(t.Context(), w, "one", "ana@laptop", "Dockerfile") }()
		time.Sleep(time.Second)
		ref := <-claimed
		w.Registry.Steal(ref, "ben@server")
		time.Sleep(2 * time.Second)
		w.Registry.Push(ref, plan.DigestOf([]byte("theirs")))
		a := <-first
		if a.err != nil || a.image() != runtime.ByDigest(ref, plan.DigestOf([]byte("theirs"))) {
			t.Errorf("%v, deployed %q", a.err, a.image())
		}
		if w.Count("Builder.Build push") != 0 {
			t.Error("it has pushed its image as well")
		}
	})
}

// TestBuiltUnclaimed: a registry that keeps no claims stops no build.
func TestBuiltUnclaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Hook = func(_ context.Context, c runtimetest.Call) error {
			if c.Op == "Registry.Claim" {
				return errors.New("only images here")
			}
			return nil
		}
		a := build(t.Context(), w, "one", "ana@laptop", "Dockerfile")
		want := "the build of api cannot be claimed, so another machine may build it at the same time: only images here"
		if a.err != nil || !slices.Contains(a.warned, want) {
			t.Errorf("%v, warned of %q, want %q", a.err, a.warned, want)
		}
	})
}
