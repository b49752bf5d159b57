package runtimetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A BuilderTest configures TestBuilder.
type BuilderTest struct {
	Builder  runtime.Builder
	Registry runtime.Registry // the registry that the builder pushes to
	// Spec returns a specification that can be built, with unique sources.
	Spec func(t *testing.T) plan.BuildSpec
	// Change changes the content of the sources of spec.
	Change func(t *testing.T, spec plan.BuildSpec)
	// Broken returns a specification whose build fails in a step that prints the line "it
	// breaks here".
	Broken func(t *testing.T) plan.BuildSpec
	// Slow returns a specification whose build takes at least ten minutes. If it is nil, the
	// cancellation of builds is not tested.
	Slow func(t *testing.T) plan.BuildSpec
}

// TestBuilder checks the contract of [runtime.Builder].
func TestBuilder(t *testing.T, bt BuilderTest) {
	t.Run("identity", func(t *testing.T) { testBuilderIdentity(t, bt) })
	t.Run("build", func(t *testing.T) { testBuilderBuild(t, bt) })
	t.Run("concurrent", func(t *testing.T) { testBuilderAtOnce(t, bt) })
	t.Run("broken", func(t *testing.T) { testBuilderBroken(t, bt) })
	if bt.Slow != nil {
		t.Run("cancelled", func(t *testing.T) { testBuilderCancelled(t, bt) })
	}
}

func (bt BuilderTest) identify(t *testing.T, spec plan.BuildSpec) plan.Digest {
	t.Helper()
	id, err := bt.Builder.Identify(t.Context(), spec)
	if err != nil {
		t.Fatalf("Identify(%s) = %v", spec.ID, err)
	}
	return id
}

func testBuilderIdentity(t *testing.T, bt BuilderTest) {
	spec := bt.Spec(t)
	id := bt.identify(t, spec)
	for name, same := range map[string]func(*plan.BuildSpec){
		"nothing":            func(b *plan.BuildSpec) {},
		"the ID":             func(b *plan.BuildSpec) { b.ID = "other" },
		"where it is called": func(b *plan.BuildSpec) { b.Pos = plan.Pos{File: "other.star", Line: 7} },
	} {
		other := spec
		same(&other)
		if got := bt.identify(t, other); got != id {
			t.Errorf("the identity changes with %s", name)
		}
	}
	for name, differ := range map[string]func(*plan.BuildSpec){
		"an argument": func(b *plan.BuildSpec) { b.Args = map[string]string{"CONTRACT": "1"} },
		"the target":  func(b *plan.BuildSpec) { b.Target += "other" },
	} {
		other := spec
		differ(&other)
		// Identify may return an error for a target that does not exist.
		if got, err := bt.Builder.Identify(t.Context(), other); err == nil && got == id {
			t.Errorf("the identity does not change with %s", name)
		}
	}
	bt.Change(t, spec)
	if bt.identify(t, spec) == id {
		t.Errorf("the identity does not change with the content of the sources")
	}
}

func testBuilderBuild(t *testing.T, bt BuilderTest) {
	spec := bt.Spec(t)
	ref := bt.Registry.Ref(spec.ID, bt.identify(t, spec))
	var mu sync.Mutex
	steps, returned := 0, false
	digest, err := bt.Builder.Build(t.Context(), spec, ref, func(b runtime.Body) {
		mu.Lock()
		defer mu.Unlock()
		if returned {
			t.Errorf("%s after Build had returned", b.Kind())
		}
		if _, ok := b.(runtime.BuildStep); ok {
			steps++
		}
	})
	mu.Lock()
	returned = true
	mu.Unlock()
	if err != nil {
		t.Fatalf("Build = %v", err)
	}
	if steps == 0 {
		t.Errorf("the build reported no step")
	}
	if got, err := bt.Registry.Resolve(t.Context(), ref); err != nil || got != digest {
		t.Errorf("the registry has %q at %s (%v), Build returned %q", got, ref, err, digest)
	}
}

func testBuilderAtOnce(t *testing.T, bt BuilderTest) {
	var wg sync.WaitGroup
	for range 4 {
		spec := bt.Spec(t)
		wg.Go(func() {
			ref := bt.Registry.Ref(spec.ID, bt.identify(t, spec))
			if _, err := bt.Builder.Build(t.Context(), spec, ref, discard); err != nil {
				t.Errorf("Build = %v", err)
			}
		})
	}
	wg.Wait()
}

func testBuilderBroken(t *testing.T, bt BuilderTest) {
	spec := bt.Broken(t)
	ref := bt.Registry.Ref(spec.ID, bt.identify(t, spec))
	_, err := bt.Builder.Build(t.Context(), spec, ref, discard)
	var build *runtime.BuildError
	if !errors.As(err, &build) {
		t.Fatalf("Build of what is broken = %v, want a BuildError", err)
	}
	if build.Step == "" {
		t.Errorf("the error does not name the step that failed: %+v", build)
	}
	if log := strings.Join(build.Log, "\n"); !strings.Contains(log, "it breaks here") {
		t.Errorf("the error has not the last lines of the step: %q", log)
	}
	if _, err := bt.Registry.Resolve(t.Context(), ref); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("after a failed build Resolve = %v, want ErrNotFound", err)
	}
}

func testBuilderCancelled(t *testing.T, bt BuilderTest) {
	spec := bt.Slow(t)
	ref := bt.Registry.Ref(spec.ID, bt.identify(t, spec))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var once sync.Once
	_, err := bt.Builder.Build(ctx, spec, ref, func(b runtime.Body) {
		if step, ok := b.(runtime.BuildStep); ok && step.Started {
			once.Do(func() { time.AfterFunc(500*time.Millisecond, cancel) })
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Build that was cancelled = %v, want context.Canceled", err)
	}
	if _, err := bt.Registry.Resolve(t.Context(), ref); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("after a cancelled build Resolve = %v, want ErrNotFound", err)
	}
}
