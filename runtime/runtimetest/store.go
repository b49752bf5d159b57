package runtimetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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
	plans    map[string][]byte // by ID of the run
}

// Owns implements [runtime.Store].
func (s *Store) Owns(ctx context.Context, key runtime.EnvironmentKey) (bool, error) {
	if err := s.world.step(ctx, "Store.Owns", key.Name); err != nil {
		return false, err
	}
	return s.world.Deployer.owns(key, false)
}

// Claim implements [runtime.Store].
func (s *Store) Claim(ctx context.Context, key runtime.EnvironmentKey) error {
	if err := s.world.step(ctx, "Store.Claim", key.Name); err != nil {
		return err
	}
	_, err := s.world.Deployer.owns(key, true)
	return err
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
		return nil, &runtime.DamagedError{Key: key, Object: "record " + key.Pipeline + "/" + key.Name, Err: err}
	}
	env.Revision = strconv.Itoa(e.revision)
	return env, nil
}

// Environments implements [runtime.Store].
func (s *Store) Environments(ctx context.Context, pipeline string) ([]*runtime.Environment, []*runtime.DamagedError, error) {
	if err := s.world.step(ctx, "Store.Environments", pipeline); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var envs []*runtime.Environment
	var bad []*runtime.DamagedError
	for key, e := range s.environments {
		if e.data == nil || pipeline != "" && key.Pipeline != pipeline {
			continue
		}
		env, err := s.read(key)
		var damaged *runtime.DamagedError
		if errors.As(err, &damaged) {
			bad = append(bad, damaged)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		envs = append(envs, env)
	}
	slices.SortFunc(envs, func(a, b *runtime.Environment) int { return compareKeys(a.Key, b.Key) })
	slices.SortFunc(bad, func(a, b *runtime.DamagedError) int { return compareKeys(a.Key, b.Key) })
	return envs, bad, nil
}

func compareKeys(a, b runtime.EnvironmentKey) int {
	return cmp.Or(cmp.Compare(a.Pipeline, b.Pipeline), cmp.Compare(a.Name, b.Name))
}

// Damage makes the record of an environment one that cannot be read.
func (s *Store) Damage(key runtime.EnvironmentKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.environments[key].data = []byte("{")
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
	if run.Plan != nil {
		if e.plans == nil {
			e.plans = make(map[string][]byte)
		}
		if e.plans[run.ID], err = json.Marshal(run.Plan); err != nil {
			return err
		}
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

// Run implements [runtime.Store].
func (s *Store) Run(ctx context.Context, key runtime.EnvironmentKey, id string) (*runtime.RunRecord, error) {
	runs, err := s.Runs(ctx, key)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(runs, func(r runtime.RunRecord) bool { return r.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("run %s of environment %s: %w", id, key.Name, runtime.ErrNotFound)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if data := s.environments[key].plans[id]; data != nil {
		if err := json.Unmarshal(data, &runs[i].Plan); err != nil {
			return nil, err
		}
	}
	return &runs[i], nil
}

// Expired implements [runtime.Store].
func (s *Store) Expired(ctx context.Context, now time.Time) ([]runtime.EnvironmentKey, error) {
	if err := s.world.step(ctx, "Store.Expired", ""); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []runtime.EnvironmentKey
	for key, e := range s.environments {
		if e.data == nil {
			continue
		}
		env, err := s.read(key)
		var damaged *runtime.DamagedError
		if errors.As(err, &damaged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !env.Expires.IsZero() && env.Expires.Before(now) {
			keys = append(keys, key)
		}
	}
	return keys, nil
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
	next   string
	lost   chan struct{}
	cancel chan string
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
		return nil, h.locked()
	}
	h := &lease{locker: l, key: key, holder: holder, since: time.Now(), lost: make(chan struct{}), cancel: make(chan string, 1)}
	l.leases.held[key] = h
	return h, nil
}

func (h *lease) locked() *runtime.LockedError {
	return &runtime.LockedError{Key: h.key, Holder: h.holder, Since: h.since, Next: h.next}
}

// asked returns the lease of key, or ErrNotFound. The mutex of the leases is held.
func (l *Locker) asked(ctx context.Context, op string, key runtime.EnvironmentKey) (*lease, error) {
	if err := l.world.step(ctx, op, key.Name); err != nil {
		return nil, err
	}
	h := l.leases.held[key]
	if h == nil {
		return nil, fmt.Errorf("lease of environment %s: %w", key.Name, runtime.ErrNotFound)
	}
	return h, nil
}

// Holder implements [runtime.Locker].
func (l *Locker) Holder(ctx context.Context, key runtime.EnvironmentKey) (*runtime.LockedError, error) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	h, err := l.asked(ctx, "Locker.Holder", key)
	if errors.Is(err, runtime.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return h.locked(), nil
}

// Cancel implements [runtime.Locker].
func (l *Locker) Cancel(ctx context.Context, key runtime.EnvironmentKey, by string) (string, error) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	h, err := l.asked(ctx, "Locker.Cancel", key)
	if err != nil {
		return "", err
	}
	select {
	case h.cancel <- by:
	default: // somebody has asked already
	}
	return h.holder, nil
}

// Announce implements [runtime.Locker].
func (l *Locker) Announce(ctx context.Context, key runtime.EnvironmentKey, by string) (string, error) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	h, err := l.asked(ctx, "Locker.Announce", key)
	if err != nil {
		return "", err
	}
	h.next = fmt.Sprintf("%s %x", by, rand.Uint64())
	return h.next, nil
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

// Valid implements [runtime.Lease].
func (h *lease) Valid() bool {
	h.locker.leases.mu.Lock()
	defer h.locker.leases.mu.Unlock()
	return !h.gone
}

// Cancelled implements [runtime.Lease].
func (h *lease) Cancelled() <-chan string { return h.cancel }

// Held implements [runtime.Lease].
func (h *lease) Held(ctx context.Context) (bool, error) {
	if err := h.locker.world.step(ctx, "Lease.Held", h.key.Name); err != nil {
		return false, err
	}
	h.locker.leases.mu.Lock()
	defer h.locker.leases.mu.Unlock()
	return !h.gone, nil
}

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
