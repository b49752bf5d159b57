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
	// A cluster that does not answer holds up no run that is done.
	limited, stop := context.WithTimeout(ctx, finishTime)
	expired, err := r.Store.Expired(limited, time.Now())
	stop()
	if err != nil {
		return nil, fmt.Errorf("look for environments whose time is over: %w", err)
	}
	var deleted []EnvironmentKey
	var errs []error
	for _, key := range expired {
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
// what it did. What it may not look at, others delete.
func (r *Runtime) collect(ctx context.Context, by string) (end func(warn func(string))) {
	var deleted []EnvironmentKey
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		deleted, err = r.GC(ctx, by, nil)
	}()
	return func(warn func(string)) {
		<-done
		for _, key := range deleted {
			warn(fmt.Sprintf("environment %s of pipeline %s was deleted: its time was over", key.Name, key.Pipeline))
		}
		if err != nil && ctx.Err() == nil && len(deleted) > 0 {
			warn(err.Error())
		}
	}
}
