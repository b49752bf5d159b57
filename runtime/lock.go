package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// holder returns the name of the lease's holder.
func (req Request) holder() string {
	if req.By == "" {
		return "somebody"
	}
	return req.By
}

// lock acquires the lease of the environment. If the request says so, it waits
// for the lease, and reports the holder.
func (r *Runtime) lock(ctx context.Context, req Request, events *Stream) (lease Lease, waited bool, err error) {
	const retry = time.Second
	key := req.Environment
	var said *LockedError // the holder that was reported
	var next Announcement // of the run that supersedes the waiters
	for {
		if req.turn != nil && said != nil && req.turn.outdated() {
			return nil, true, ErrStale
		}
		lease, err = r.Locker.Lock(ctx, key, req.holder())
		var locked *LockedError
		switch {
		case err == nil:
			return lease, said != nil, nil
		case errors.As(err, &locked) && req.WaitLock:
		case said != nil && ctx.Err() != nil:
			return nil, true, fmt.Errorf("%w: %s", context.Cause(ctx), said.Error())
		default:
			return nil, said != nil, err
		}
		switch {
		case said == nil && req.Supersede:
			if next, err = r.Locker.Announce(ctx, key, req.holder()); errors.Is(err, ErrNotFound) {
				continue // released meanwhile
			}
			if err != nil {
				return nil, false, err
			}
		case said == nil:
			next = locked.Holder.Next
		case locked.Holder.Next != (Announcement{}) && locked.Holder.Next != next:
			return nil, true, &SupersededError{key, locked.Holder.Next.By}
		}
		if said == nil || said.Holder.By != locked.Holder.By || !said.Holder.Since.Equal(locked.Holder.Since) {
			said = locked
			events.Send("", "", WaitingFor{locked.Error()})
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return nil, true, fmt.Errorf("%w: %s", context.Cause(ctx), said.Error())
		}
	}
}

// release releases a lease, even if ctx is done.
func release(ctx context.Context, lease Lease) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	return lease.Release(ctx)
}
