package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// GC deletes the expired environments of all pipelines (E3), and
// returns those that it has deleted. An environment that a run holds is left to the
// next GC. Each Run does the same concurrently with its work. The events are those of
// the deletions, one deletion after the other.
func (r *Runtime) GC(ctx context.Context, by string, events func(Event)) ([]EnvironmentKey, error) {
	expired, err := r.expired(ctx)
	if err != nil {
		return nil, err
	}
	return r.deleteAll(ctx, expired, by, events)
}

// expired returns the expired environments. A cluster that does not respond does not
// delay a run that is done.
func (r *Runtime) expired(ctx context.Context) ([]EnvironmentKey, error) {
	ctx, stop := context.WithTimeout(ctx, finishTime)
	defer stop()
	keys, err := r.Store.Expired(ctx, time.Now())
	if err != nil {
		return nil, fmt.Errorf("look for expired environments: %w", err)
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
			errs = append(errs, fmt.Errorf("delete expired environment %s of pipeline %s: %w", key.Name, key.Pipeline, err))
		default:
			deleted = append(deleted, key)
		}
	}
	return deleted, errors.Join(errs...)
}

// collect starts a GC concurrently with a run, and returns a function that waits for it
// and reports what it did. Without permission to list environments, it does nothing:
// runs of other users delete them.
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
			warn(fmt.Sprintf("environment %s of pipeline %s was deleted: it had expired", key.Name, key.Pipeline))
		}
		if failed != nil && ctx.Err() == nil {
			warn(failed.Error())
		}
	}
}
