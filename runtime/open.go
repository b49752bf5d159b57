package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pipelinefile/pipe/plan"
)

// complete returns the request with unset fields set to their defaults.
func (r *Runtime) complete(ctx context.Context, req Request) (Request, error) {
	if req.RollbackTo != "" && req.Plan == nil {
		var err error
		if req, err = r.Rollback(ctx, req); err != nil {
			return Request{}, err
		}
	}
	if req.OnFailure == "" {
		req.OnFailure = Rollback
	}
	if p := req.Plan; p != nil {
		req.Environment.Pipeline = cmp.Or(req.Environment.Pipeline, p.Pipeline.Name)
		req.Environment.Name = cmp.Or(req.Environment.Name, p.Environment.Name)
		if is := KeyOf(p); is.Owner() == req.Environment {
			req.Environment = is
		}
	}
	return req, nil
}

// open checks a complete request and reads its environment.
func (r *Runtime) open(ctx context.Context, req Request) (*run, error) {
	if _, ok := verb[req.Action]; !ok {
		return nil, fmt.Errorf("unknown action %q; the actions are deploy, stop, start, restart, delete", req.Action)
	}
	if p := req.Plan; p != nil && p.Pipeline.Name != req.Environment.Pipeline {
		return nil, fmt.Errorf("the plan belongs to pipeline %s, the environment to pipeline %s", p.Pipeline.Name, req.Environment.Pipeline)
	}
	key := req.Environment
	if key.Name == "" || key.Pipeline == "" {
		return nil, fmt.Errorf("the request names no environment: pipeline %q, environment %q", key.Pipeline, key.Name)
	}
	env, claimed, err := r.read(ctx, req)
	var damaged *DamagedError
	switch {
	case err == nil && env.Key != key:
		return nil, &MovedError{Key: key, Namespace: env.Key.Namespace()}
	case errors.As(err, &damaged) && req.Action == Delete && len(req.Services) == 0:
		// All its releases are deleted, in no order, as releases without a service.
		env = &Environment{Key: key, Plan: &plan.Plan{Pipeline: plan.Pipeline{Name: key.Pipeline}}, Namespaces: r.RecordedNamespaces(ctx, key)}
	case errors.Is(err, ErrNotFound) && req.Plan == nil:
		return nil, fmt.Errorf("environment %s of pipeline %s: %w; pipe envs lists the existing ones", key.Name, key.Pipeline, ErrNotFound)
	case errors.Is(err, ErrNotFound):
		if err := checkName(key); err != nil {
			return nil, err
		}
		env = newEnvironment(key, req.Plan)
	case err != nil:
		return nil, err
	}
	if req.Plan == nil {
		if req.Plan = env.Plan; req.Plan == nil {
			return nil, fmt.Errorf("environment %s of pipeline %s has no plan yet: it was never deployed", key.Name, key.Pipeline)
		}
	}
	p, err := env.Apply(req.Plan)
	if err != nil {
		return nil, err
	}
	sc, err := newScope(p, req)
	if err != nil {
		return nil, err
	}
	x := &run{Runtime: r, Turn: req.turn, req: req, namespace: key.Namespace(), env: env, scope: sc, claimed: claimed}
	if req.Action == Deploy {
		err = x.pin(ctx)
	}
	return x, err
}

// read returns the environment of a request, and whether it owns its namespace.
// An environment whose namespace belongs to another one can only be deleted.
func (r *Runtime) read(ctx context.Context, req Request) (env *Environment, claimed bool, err error) {
	var ownErr error
	var wg sync.WaitGroup
	wg.Go(func() { claimed, ownErr = r.Store.Owns(ctx, req.Environment) })
	env, err = r.Store.Environment(ctx, req.Environment)
	wg.Wait()
	var owned *OwnedError
	var damaged *DamagedError
	exists := err == nil || errors.As(err, &damaged)
	if errors.As(ownErr, &owned) && exists {
		owned.Exists = true
		if req.Action == Delete {
			ownErr = nil
		}
	}
	if ownErr != nil && (exists || errors.Is(err, ErrNotFound)) {
		err = ownErr
	}
	return env, claimed, err
}

// claim makes the environment the owner of its namespace, before anything is
// written (E6). A deletion claims nothing.
func (r *run) claim(ctx context.Context) error {
	if r.claimed || r.req.Action == Delete {
		return nil
	}
	return r.Store.Claim(ctx, r.req.Environment)
}

// underLock opens the run again if the environment has changed
// since it was read, before the lease was acquired: another run may have saved
// another plan, or deleted the environment.
func (r *run) underLock(ctx context.Context, req Request, waited bool) (*run, error) {
	r, err := r.reopen(ctx, req, waited)
	if err == nil {
		err = r.claim(ctx) // again: without permission to label the namespace, a claim counts only under the lease
	}
	return r, err
}

func (r *run) reopen(ctx context.Context, req Request, waited bool) (*run, error) {
	if waited || req.Plan == nil {
		return r.open(ctx, req)
	}
	now := ""
	env, err := r.Store.Environment(ctx, r.req.Environment)
	switch {
	case err == nil:
		now = env.Revision
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	if now == r.env.Revision {
		return r, nil
	}
	return r.open(ctx, req)
}
