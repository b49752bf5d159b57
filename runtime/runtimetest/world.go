// Package runtimetest contains in-memory implementations of the interfaces of package
// runtime, and the tests that each implementation must pass.
//
// [NewWorld] creates a builder, a registry, a deployer, a store and a locker that belong
// together: images of the builder are in the registry, and the deployer requires them to be
// there. Each operation calls [World.Hook], which can make it slow, fail, hang, or be the
// last one before the process dies. With testing/synctest the time is virtual.
//
// [TestStore], [TestLocker], [TestRegistry], [TestSignatures], [TestScans], [TestBuilder] and [TestDeployer]
// test the contracts of package runtime. They require no more than the comments in
// runtime/contract.go. They can be run on the implementations in this package, on those of
// pipe, and on any other.
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

// ErrDead is the error of each operation after the process has died.
var ErrDead = errors.New("the process is dead")

// A Call is one step of an operation on the world.
type Call struct {
	N       int    // the number of the call, from 1
	Op      string // such as "Builder.Build", or "Builder.Build push" for a step that changes the world
	Subject string // a service, a reference or an environment
}

// A Span is one operation that took time.
type Span struct {
	Op, Subject string
	Start, End  time.Duration // since the world was created
}

// A World is everything that a run acts on. Its parts are safe for concurrent use. Its fields
// must be set before use.
type World struct {
	Builder  *Builder
	Registry *Registry
	Deployer *Deployer
	// Signatures are those of images of the registry.
	Signatures *Signatures
	// Scans are those of images of the registry.
	Scans  *Scans
	Store  *Store
	Locker *Locker

	// Hook, if set, is called at each step. If it returns an error, the step fails. It may
	// block until ctx is done, and call World.Die.
	Hook func(ctx context.Context, c Call) error
	// Takes, if set, returns the duration of an operation: Builder.Build, Registry.Mirror and
	// the actions of the deployer.
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
	w.Registry = &Registry{world: w, images: make(map[string]plan.Digest), upstream: make(map[string]plan.Digest), claims: claims{held: make(map[string]*claim)}}
	w.Signatures = &Signatures{world: w, have: make(map[string]bool), by: make(map[string][]string)}
	w.Scans = &Scans{world: w, found: make(map[string][]runtime.Finding), kept: make(map[string]*runtime.ScanReport)}
	w.Builder = &Builder{world: w, sources: make(map[string]string)}
	w.Deployer = &Deployer{world: w, namespaces: make(map[string]map[string]*Release), owners: make(map[string]runtime.EnvironmentKey)}
	w.Store = &Store{world: w, environments: make(map[runtime.EnvironmentKey]*stored)}
	w.Locker = &Locker{world: w, leases: &leases{held: make(map[runtime.EnvironmentKey]*lease)}}
	return w
}

// Runtime returns the parts of the world for use by one process.
func (w *World) Runtime() *runtime.Runtime {
	return &runtime.Runtime{
		Builder:      w.Builder,
		Registry:     w.Registry,
		Deployer:     w.Deployer,
		Signatures:   w.Signatures,
		Scans:        w.Scans,
		Environments: runtime.Environments{Store: w.Store, Locker: w.Locker},
	}
}

// Die makes each operation fail from now on, without an effect: the state of the world is
// what a killed process leaves behind.
func (w *World) Die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

// Revive starts another process with the state that a dead one has left. The leases and
// claims of the dead process are held until they expire.
func (w *World) Revive() {
	w.Locker.Kill()
	w.Registry.claims.kill()
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

// Count returns the number of steps of op.
func (w *World) Count(op string) int {
	n := 0
	for _, c := range w.Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// Spans returns the operations that took time and have ended, sorted by start.
func (w *World) Spans() []Span {
	w.mu.Lock()
	defer w.mu.Unlock()
	spans := slices.Clone(w.spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return int(a.Start - b.Start) })
	return spans
}

// Peak returns the maximum number of concurrent operations of op.
func (w *World) Peak(op string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak[op]
}

// step is called before an operation reads or changes anything. If it returns an error, the
// operation must return that error.
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

// work waits for the duration of an operation, or until ctx is done.
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
