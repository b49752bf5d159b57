package runtime

import (
	"context"
	"errors"
	"fmt"
)

// A Turn is the position of one run among those of its session.
type Turn struct {
	*Session
	number int
}

// Run is [Runtime.Run] for a deploy. It may be called while other runs of the
// session are in progress; all must be on the same environment. The error of a run that
// ended early because a newer one took over wraps [ErrStale]. Expired environments
// are not deleted.
func (t *Turn) Run(ctx context.Context, req Request) (*RunRecord, error) {
	if req.Action != Deploy {
		return nil, fmt.Errorf("a session deploys; it cannot %s", req.Action)
	}
	req.turn = t
	return t.runtime.run(ctx, req)
}

// outdated reports whether there is a newer run, so that a run that has not started
// need not start.
func (t *Turn) outdated() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.number < t.Session.number
}

// gotNamespace records that the environment owns its namespace: later runs check
// under the lease whether it still does. A run without a session records nothing.
func (t *Turn) gotNamespace() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owner = true
}

// hasNamespace reports whether gotNamespace was called.
func (t *Turn) hasNamespace() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owner
}

// lookingUp records that x is about to look up what is deployed.
func (t *Turn) lookingUp(x *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs[x] = &work{looked: t.clock}
}

// takeOver makes x do the work that older runs have not started, and cancels work that
// it makes stale. It reports false if a newer run has already taken over.
func (t *Turn) takeOver(x *run) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.runs[x]
	if t.taken > t.number {
		w.stale = true
		return false
	}
	t.taken = t.number
	t.drop(x.scope.plan)
	wanted := make(map[string]bool)
	for _, im := range x.images {
		wanted[im.content()] = true
	}
	for y, older := range t.runs {
		if y.Turn.number > t.number || y == x {
			continue
		}
		older.stale = true
		y.waits.end(ErrStale)
	}
	for content, m := range t.builds {
		if !wanted[content] {
			m.cancel(ErrStale)
		}
	}
	return true
}

// end removes a run that has ended, and reports whether a newer one had taken over.
func (t *Turn) end(x *run) (stale bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.runs[x]
	delete(t.runs, x)
	return w != nil && w.stale
}

// making makes an image with do, unless a newer run has taken over, or waits for
// an older run that is making the same image. The work is cancelled when a newer run
// does not need the image.
func (t *Turn) making(ctx context.Context, x *run, im *image, do func(context.Context) error) error {
	content := im.content()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.mu.Lock()
	older, f := t.builds[content], t.failures[content]
	switch {
	case t.runs[x].stale:
		t.mu.Unlock()
		return ErrStale
	case older != nil:
		t.mu.Unlock()
		select {
		case <-older.done:
			im.byDigest = older.byDigest
			return older.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case f.err != nil && !x.req.Force:
		t.mu.Unlock()
		return f.err
	}
	m := &making{cancel: cancel, done: make(chan struct{})}
	t.builds[content] = m
	t.mu.Unlock()
	err := staleOr(ctx, do(ctx))
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.builds, content)
	m.byDigest, m.err = im.byDigest, err
	close(m.done)
	var own *BuildError
	if errors.As(err, &own) && ctx.Err() == nil {
		t.failures[content] = failure{err: err}
	}
	return err
}

// made reports whether an older run is making an image.
func (t *Turn) made(im *image) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.builds[im.content()] != nil
}

// same reports whether an older run is deploying the same release of s as x would.
func (t *Turn) same(s *service) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.acting[s.Name]
	return a != nil && s.fingerprint != "" && a.fingerprint == s.fingerprint
}

// actOn acts on a service with do, unless a newer run has taken over. The service's
// fingerprint is known. If an older run is deploying the same release, actOn waits for
// its result, and otherwise until the older run has finished its writes.
func (t *Turn) actOn(ctx context.Context, x *run, s *service, do func(context.Context) (State, string, error)) (State, string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &act{fingerprint: s.fingerprint, namespace: x.namespaceOf(s.Service), cancel: cancel, done: make(chan struct{})}
	for {
		t.mu.Lock()
		older := t.acting[s.Name]
		switch {
		case t.runs[x].stale:
			t.mu.Unlock()
			return "", "", ErrStale
		case older == nil:
			if last := t.acted[s.Name]; last != nil && last.ended > t.runs[x].looked {
				if last.err == nil && last.fingerprint == s.fingerprint && !x.req.Force {
					t.mu.Unlock()
					s.leftAlone = last.leftAlone
					return last.state, byOlder, nil
				}
				s.overtaken = true
			}
			if f := t.failures[s.Name]; f.err != nil && f.of == s.fingerprint && !x.req.Force {
				t.mu.Unlock()
				return "", "", f.err
			}
			t.acting[s.Name] = a
			t.mu.Unlock()
			return t.act(ctx, s, a, do)
		}
		t.mu.Unlock()
		same := s.fingerprint != "" && older.fingerprint == s.fingerprint
		if !same {
			older.cancel(ErrStale)
		}
		select {
		case <-older.done:
		case <-ctx.Done():
			return "", "", context.Cause(ctx)
		}
		if same && !errors.Is(older.err, ErrStale) {
			s.leftAlone = older.leftAlone
			return older.state, byOlder, older.err
		}
	}
}

// byOlder is the reason for a service that an older run of the session has deployed.
const byOlder = "deployed by the previous run"

func (t *Turn) act(ctx context.Context, s *service, a *act, do func(context.Context) (State, string, error)) (state State, reason string, err error) {
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		a.leftAlone = s.leftAlone
		t.acts(s.Name, a, state, err)
		var own *ReleaseError
		switch {
		case err == nil:
			delete(t.failures, s.Name)
			t.left[s.Name] = s.fingerprint
			if state == Done {
				delete(t.reported, s.Name)
			}
			return
		case errors.As(err, &own) && ctx.Err() == nil:
			t.failures[s.Name] = failure{s.fingerprint, err}
		}
		// The deployed release is the failed one, the previous one, or unknown.
		delete(t.left, s.Name)
	}()
	state, reason, err = do(ctx)
	return state, reason, staleOr(ctx, err)
}

// removing deletes, with do, the release of a service that the plan of x does not have,
// unless a newer run has taken over. The work of an older run on the service is ended
// first. The deletion itself is finished even if a newer run has the service again:
// that run waits for it, and deploys the service afterwards.
func (t *Turn) removing(ctx context.Context, x *run, name string, do func(context.Context) error) error {
	a := &act{cancel: func(error) {}, done: make(chan struct{})}
	for {
		t.mu.Lock()
		older := t.acting[name]
		switch {
		case t.runs[x].stale:
			t.mu.Unlock()
			return ErrStale
		case older == nil:
			t.acting[name] = a
			t.mu.Unlock()
			err := do(ctx)
			t.mu.Lock()
			defer t.mu.Unlock()
			t.acts(name, a, Done, err)
			delete(t.left, name)
			delete(t.reported, name)
			return err
		}
		t.mu.Unlock()
		older.cancel(ErrStale)
		select {
		case <-older.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// unseen returns the services that runs of the session have deployed, or are deploying,
// since x looked up what is deployed.
func (t *Turn) unseen(x *run) []Place {
	t.mu.Lock()
	defer t.mu.Unlock()
	var places []Place
	for name, a := range t.acting {
		if a.fingerprint != "" {
			places = append(places, Place{a.namespace, name})
		}
	}
	for name, a := range t.acted {
		if a.fingerprint != "" && a.ended > t.runs[x].looked {
			places = append(places, Place{a.namespace, name})
		}
	}
	return places
}

// staleOr returns ErrStale instead of err if a newer run has ended the work.
func staleOr(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), ErrStale) {
		return ErrStale
	}
	return err
}

// foreign returns what another run has done to a service since the session left
// it as it would be deployed now, or nil. It warns about each change once.
func (t *Turn) foreign(x *run, s *service) *LeftAlone {
	d, deployed := x.deployed[s.Name]
	t.mu.Lock()
	left := t.left[s.Name]
	reported, ok := t.reported[s.Name]
	if left == "" || left != s.fingerprint || x.req.Force {
		t.mu.Unlock()
		return nil
	}
	var what *LeftAlone
	switch {
	case !deployed:
		what = &LeftAlone{Service: s.Name, Action: Delete}
	case d.Fingerprint != left:
		what = &LeftAlone{Service: s.Name, Action: Deploy, Revision: d.Revision}
	case d.Stopped:
		what = &LeftAlone{Service: s.Name, Action: Stop}
	}
	if what != nil {
		t.reported[s.Name] = d.Revision
	}
	t.mu.Unlock()
	if what != nil && !(ok && reported == d.Revision) {
		x.track.warn(fmt.Sprintf("service %s was %s meanwhile, and is left unchanged until it changes here", s.Name, what))
	}
	return what
}
