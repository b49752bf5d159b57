// Package runtimetest has implementations of the interfaces of package runtime
// that keep all in memory, and the tests that every implementation must pass.
//
// [NewWorld] makes a builder, a registry, a deployer, a store and a locker that
// belong together: what the builder builds is in the registry, what the deployer
// deploys must be there. Every operation goes through [World.Hook], which can
// make it take time, fail, hang, or be the last one before the process dies.
// With testing/synctest the time is virtual.
//
// [TestStore], [TestLocker], [TestRegistry], [TestBuilder] and [TestDeployer]
// are the contracts of package runtime as tests. They demand what the comments
// in runtime/contract.go say and no more. They run on the implementations here,
// on pipe's own, and on anybody's.
package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// ErrDead is what every operation returns once the process is dead.
var ErrDead = errors.New("the process is dead")

// A Call is one step of an operation on the world.
type Call struct {
	N       int    // counts all calls, from 1
	Op      string // such as "Builder.Build"; what changes the world is told apart as "Builder.Build push"
	Subject string // what it is on: a service, a reference, an environment
}

// A Span is one operation that took time.
type Span struct {
	Op, Subject string
	Start, End  time.Duration // since the world was made
}

// A World is everything that a run acts on. Its parts are safe for concurrent
// use; its fields are set before.
type World struct {
	Builder  *Builder
	Registry *Registry
	Deployer *Deployer
	Store    *Store
	Locker   *Locker

	// Hook is called at every step, if it is set. An error makes the step fail;
	// it may block until ctx is done, and call World.Die.
	Hook func(ctx context.Context, c Call) error
	// Takes is how long an operation works, if it is set: Builder.Build,
	// Registry.Mirror and the actions of the deployer.
	Takes func(op, subject string) time.Duration

	began time.Time

	mu    sync.Mutex
	calls []Call
	spans []Span
	busy  map[string]int
	peak  map[string]int
	dead  bool
}

// NewWorld returns an empty world.
func NewWorld() *World {
	w := &World{began: time.Now(), busy: make(map[string]int), peak: make(map[string]int)}
	w.Registry = &Registry{world: w, images: make(map[string]plan.Digest), upstream: make(map[string]plan.Digest)}
	w.Builder = &Builder{world: w, sources: make(map[string]string)}
	w.Deployer = &Deployer{world: w, namespaces: make(map[string]map[string]*Release), owners: make(map[string]runtime.EnvironmentKey)}
	w.Store = &Store{world: w, environments: make(map[runtime.EnvironmentKey]*stored)}
	w.Locker = &Locker{world: w, leases: &leases{held: make(map[runtime.EnvironmentKey]*lease)}}
	return w
}

// Runtime returns the parts of the world as one process uses them.
func (w *World) Runtime() *runtime.Runtime {
	return &runtime.Runtime{
		Builder:      w.Builder,
		Registry:     w.Registry,
		Deployer:     w.Deployer,
		Environments: runtime.Environments{Store: w.Store, Locker: w.Locker},
	}
}

// Die makes every operation fail from now on, without effect: what the world
// is now is what a killed process leaves behind.
func (w *World) Die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

// Revive starts another process on what a dead one left. The leases of the dead
// one are held until they expire.
func (w *World) Revive() {
	w.Locker.Kill()
	w.Locker = w.Locker.Another()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = false
}

// Calls returns the steps so far.
func (w *World) Calls() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// Count returns how many steps there were of op.
func (w *World) Count(op string) int {
	n := 0
	for _, c := range w.Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// Spans returns the operations that took time and have ended, by their start.
func (w *World) Spans() []Span {
	w.mu.Lock()
	defer w.mu.Unlock()
	spans := slices.Clone(w.spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return int(a.Start - b.Start) })
	return spans
}

// Peak returns how many of op worked at the same time at most.
func (w *World) Peak(op string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak[op]
}

// step is called before anything is read or changed. What it returns is what
// the operation must fail with.
func (w *World) step(ctx context.Context, op, subject string) error {
	w.mu.Lock()
	c := Call{len(w.calls) + 1, op, subject}
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	var err error
	if w.Hook != nil {
		err = w.Hook(ctx, c)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.dead:
		return ErrDead
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", op, subject, context.Cause(ctx))
	}
	return nil
}

// work lets an operation take its time, or until ctx is done.
func (w *World) work(ctx context.Context, op, subject string) error {
	w.mu.Lock()
	w.busy[op]++
	w.peak[op] = max(w.peak[op], w.busy[op])
	w.mu.Unlock()
	start := time.Since(w.began)
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy[op]--
		w.spans = append(w.spans, Span{op, subject, start, time.Since(w.began)})
	}()
	if w.Takes == nil {
		return ctx.Err()
	}
	select {
	case <-time.After(w.Takes(op, subject)):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", op, subject, context.Cause(ctx))
	}
}
