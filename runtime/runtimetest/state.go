package runtimetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

var (
	_ runtime.Store  = (*Store)(nil)
	_ runtime.Locker = (*Locker)(nil)
)

// A Store keeps environments and runs.
type Store struct {
	world *World

	mu           sync.Mutex
	environments map[runtime.EnvironmentKey]*stored
}

// A stored environment is kept as JSON, as any real store would: what a caller
// does to its copy changes nothing here.
type stored struct {
	data     []byte // nil: only runs
	revision int
	runs     []json.RawMessage // the newest first
}

// Environment implements [runtime.Store].
func (s *Store) Environment(ctx context.Context, key runtime.EnvironmentKey) (*runtime.Environment, error) {
	if err := s.world.step(ctx, "Store.Environment", key.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(key)
}

func (s *Store) read(key runtime.EnvironmentKey) (*runtime.Environment, error) {
	e := s.environments[key]
	if e == nil || e.data == nil {
		return nil, fmt.Errorf("environment %s of pipeline %s: %w", key.Name, key.Pipeline, runtime.ErrNotFound)
	}
	env := &runtime.Environment{}
	if err := json.Unmarshal(e.data, env); err != nil {
		return nil, err
	}
	env.Revision = strconv.Itoa(e.revision)
	return env, nil
}

// Environments implements [runtime.Store].
func (s *Store) Environments(ctx context.Context, pipeline string) ([]*runtime.Environment, error) {
	if err := s.world.step(ctx, "Store.Environments", pipeline); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var envs []*runtime.Environment
	for key, e := range s.environments {
		if e.data == nil || pipeline != "" && key.Pipeline != pipeline {
			continue
		}
		env, err := s.read(key)
		if err != nil {
			return nil, err
		}
		envs = append(envs, env)
	}
	slices.SortFunc(envs, func(a, b *runtime.Environment) int {
		return cmp.Or(cmp.Compare(a.Key.Pipeline, b.Key.Pipeline), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return envs, nil
}

// Save implements [runtime.Store].
func (s *Store) Save(ctx context.Context, env *runtime.Environment) error {
	if err := s.world.step(ctx, "Store.Save", env.Key.Name); err != nil {
		return err
	}
	data, err := json.Marshal(env)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.environments[env.Key]
	is := ""
	if e != nil && e.data != nil {
		is = strconv.Itoa(e.revision)
	}
	if env.Revision != is {
		return fmt.Errorf("environment %s: %w", env.Key.Name, runtime.ErrConflict)
	}
	if e == nil {
		e = &stored{}
		s.environments[env.Key] = e
	}
	e.data = data
	e.revision++
	env.Revision = strconv.Itoa(e.revision)
	return nil
}

// Delete implements [runtime.Store].
func (s *Store) Delete(ctx context.Context, key runtime.EnvironmentKey) error {
	if err := s.world.step(ctx, "Store.Delete", key.Name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.environments, key)
	return nil
}

// AddRun implements [runtime.Store].
func (s *Store) AddRun(ctx context.Context, key runtime.EnvironmentKey, run runtime.RunRecord) error {
	if err := s.world.step(ctx, "Store.AddRun", run.ID); err != nil {
		return err
	}
	data, err := json.Marshal(run)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.environments[key]
	if e == nil {
		e = &stored{}
		s.environments[key] = e
	}
	for i, old := range e.runs {
		var r runtime.RunRecord
		if err := json.Unmarshal(old, &r); err == nil && r.ID == run.ID {
			e.runs[i] = data
			return nil
		}
	}
	e.runs = slices.Insert(e.runs, 0, json.RawMessage(data))
	return nil
}

// Runs implements [runtime.Store].
func (s *Store) Runs(ctx context.Context, key runtime.EnvironmentKey) ([]runtime.RunRecord, error) {
	if err := s.world.step(ctx, "Store.Runs", key.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var runs []runtime.RunRecord
	if e := s.environments[key]; e != nil {
		for _, data := range e.runs {
			var r runtime.RunRecord
			if err := json.Unmarshal(data, &r); err != nil {
				return nil, err
			}
			runs = append(runs, r)
		}
	}
	slices.SortStableFunc(runs, func(a, b runtime.RunRecord) int { return b.Start.Compare(a.Start) })
	return runs, nil
}

// A Locker hands out leases, to one process of those that share them.
type Locker struct {
	// Expiry is how long the lease of a dead process is held; default 15 seconds.
	Expiry time.Duration

	world  *World
	leases *leases
}

// leases is what all processes share.
type leases struct {
	mu   sync.Mutex
	held map[runtime.EnvironmentKey]*lease
}

type lease struct {
	locker *Locker
	key    runtime.EnvironmentKey
	holder string
	since  time.Time
	lost   chan struct{}
	gone   bool
}

// Another returns the locker of another process.
func (l *Locker) Another() *Locker {
	another := *l
	return &another
}

// Lock implements [runtime.Locker].
func (l *Locker) Lock(ctx context.Context, key runtime.EnvironmentKey, holder string) (runtime.Lease, error) {
	if err := l.world.step(ctx, "Locker.Lock", key.Name); err != nil {
		return nil, err
	}
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if h := l.leases.held[key]; h != nil {
		return nil, &runtime.LockedError{Key: key, Holder: h.holder, Since: h.since}
	}
	h := &lease{locker: l, key: key, holder: holder, since: time.Now(), lost: make(chan struct{})}
	l.leases.held[key] = h
	return h, nil
}

// Held returns who holds the lease of key, or "".
func (l *Locker) Held(key runtime.EnvironmentKey) string {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if h := l.leases.held[key]; h != nil {
		return h.holder
	}
	return ""
}

// Lose takes the lease of key away from its holder, as a partition would.
func (l *Locker) Lose(key runtime.EnvironmentKey) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if h := l.leases.held[key]; h != nil {
		h.end()
	}
}

// Kill lets the leases of this process expire, as if it were dead.
func (l *Locker) Kill() {
	expiry := l.Expiry
	if expiry == 0 {
		expiry = 15 * time.Second
	}
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	for _, h := range l.leases.held {
		if h.locker == l {
			time.AfterFunc(expiry, func() {
				l.leases.mu.Lock()
				defer l.leases.mu.Unlock()
				h.end()
			})
		}
	}
}

// end closes the lease. The mutex of the leases is held.
func (h *lease) end() {
	if h.gone {
		return
	}
	h.gone = true
	close(h.lost)
	if held := h.locker.leases.held; held[h.key] == h {
		delete(held, h.key)
	}
}

// Lost implements [runtime.Lease].
func (h *lease) Lost() <-chan struct{} { return h.lost }

// Release implements [runtime.Lease].
func (h *lease) Release(ctx context.Context) error {
	if err := h.locker.world.step(ctx, "Lease.Release", h.key.Name); err != nil {
		return err
	}
	h.locker.leases.mu.Lock()
	defer h.locker.leases.mu.Unlock()
	if !h.gone {
		h.gone = true
		delete(h.locker.leases.held, h.key)
	}
	return nil
}
