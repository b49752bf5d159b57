package runtime

import (
	"context"
	"fmt"
)

// Restart rolls the pods of the one service that req names, as [Runtime.Run] does,
// as soon as no run of the session is at work on the service. A run that deploys
// the service as it is waits for the restart; one that has another release of it to
// write ends it, and its error then wraps [ErrStale] (SPEC W3).
func (s *Session) Restart(ctx context.Context, req Request) (*RunRecord, error) {
	if req.Action != Restart || len(req.Services) != 1 {
		return nil, fmt.Errorf("a session restarts one service; it cannot %s %d", req.Action, len(req.Services))
	}
	name := req.Services[0]
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a, err := s.restarting(ctx, name, cancel)
	if err != nil {
		return nil, err
	}
	record, err := s.runtime.run(ctx, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	var outcome error
	if err != nil { // who waits for it looks for itself: the pods may not be ready
		outcome = ErrStale
		delete(s.left, name)
	}
	s.acts(name, a, Done, outcome)
	return record, err
}

// restarting waits until nobody is at work on a service, and says that it is being
// restarted: as the release that the session left.
func (s *Session) restarting(ctx context.Context, name string, cancel context.CancelCauseFunc) (*act, error) {
	for {
		s.mu.Lock()
		older := s.acting[name]
		if older == nil {
			last := s.acted[name]
			a := &act{fingerprint: s.left[name], cancel: cancel, done: make(chan struct{})}
			if last != nil {
				a.leftAlone = last.leftAlone
			}
			s.acting[name] = a
			s.mu.Unlock()
			return a, nil
		}
		s.mu.Unlock()
		select {
		case <-older.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
