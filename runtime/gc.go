package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// GC deletes the environments of all pipelines whose time is over (E3), and
// returns those that it has deleted. One that a run holds is left to the next
// GC. Each Run does the same beside its work. The events are those of the
// deletions, one after the other.
func (r *Runtime) GC(ctx context.Context, by string, events func(Event)) ([]EnvironmentKey, error) {
	expired, err := r.expired(ctx)
	if err != nil {
		return nil, err
	}
	return r.deleteAll(ctx, expired, by, events)
}

// expired returns the environments whose time is over. A cluster that does not
// answer holds up no run that is done.
func (r *Runtime) expired(ctx context.Context) ([]EnvironmentKey, error) {
	ctx, stop := context.WithTimeout(ctx, finishTime)
	defer stop()
	keys, err := r.Store.Expired(ctx, time.Now())
	if err != nil {
		return nil, fmt.Errorf("look for environments whose time is over: %w", err)
	}
	return keys, nil
}

func (r *Runtime) deleteAll(ctx context.Context, keys []EnvironmentKey, by string, events func(Event)) (deleted []EnvironmentKey, err error) {
	var errs []error
	for _, key := range keys {
		_, err := r.run(ctx, Request{Action: Delete, Environment: key, By: by, Events: events})
		var locked *LockedError
		switch {
		case errors.As(err, &locked), errors.Is(err, ErrNotFound):
		case err != nil:
			errs = append(errs, fmt.Errorf("delete environment %s of pipeline %s, whose time is over: %w", key.Name, key.Pipeline, err))
		default:
			deleted = append(deleted, key)
		}
	}
	return deleted, errors.Join(errs...)
}

// collect has GC done beside a run, and returns what waits for its end and says
// what it did. Environments that may not be looked for, others delete.
func (r *Runtime) collect(ctx context.Context, by string) (end func(warn func(string))) {
	var deleted []EnvironmentKey
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if keys, err := r.expired(ctx); err == nil {
			deleted, failed = r.deleteAll(ctx, keys, by, nil)
		}
	}()
	return func(warn func(string)) {
		<-done
		for _, key := range deleted {
			warn(fmt.Sprintf("environment %s of pipeline %s was deleted: its time was over", key.Name, key.Pipeline))
		}
		if failed != nil && ctx.Err() == nil {
			warn(failed.Error())
		}
	}
}
