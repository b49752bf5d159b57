package runtime

import (
	"context"
	"fmt"
)

// Restart rolls the pods of the one service that req names, as [Runtime.Run] does,
// as soon as no run of the session is working on the service. A run that would not
// change the service waits for the restart; a run that must write another release of it
// ends the restart, whose error then wraps [ErrStale] (SPEC W3).
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
	if err != nil { // waiters must look again: the pods may not be ready
		outcome = ErrStale
		delete(s.left, name)
	}
	s.acts(name, a, Done, outcome)
	return record, err
}

// restarting waits until no run is working on a service, and records that it is being
// restarted with the release that the session left.
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
