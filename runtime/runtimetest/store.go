package runtimetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

var _ runtime.Store = (*Store)(nil)

// A Store keeps environments and runs in memory.
type Store struct {
	world *World

	mu           sync.Mutex
	environments map[runtime.EnvironmentKey]*stored
}

// A stored environment is kept as JSON, as in a real store: changes that a caller makes to
// its copy have no effect here.
type stored struct {
	data     []byte // nil: there are only runs
	revision int
	runs     []json.RawMessage // newest first
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

// Damage makes the record of an environment unreadable.
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
