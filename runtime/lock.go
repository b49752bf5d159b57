package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// holder is by whom the lease is held.
func (req Request) holder() string {
	if req.By == "" {
		return "somebody"
	}
	return req.By
}

// lock takes the lease of the environment; if the request says so, it waits
// for it, and says for whom.
func (r *Runtime) lock(ctx context.Context, req Request, events *Stream) (lease Lease, waited bool, err error) {
	const retry = time.Second
	key := req.Environment
	var said *LockedError // what is waited for
	next := ""            // who is going to take the place of those who wait
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
				continue // given back meanwhile
			}
			if err != nil {
				return nil, false, err
			}
		case said == nil:
			next = locked.Next
		case locked.Next != "" && locked.Next != next:
			by, _, _ := cutLast(locked.Next, " ")
			return nil, true, &SupersededError{key, by}
		}
		if said == nil || said.Holder != locked.Holder || !said.Since.Equal(locked.Since) {
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

// release gives a lease back, also when ctx is over.
func release(ctx context.Context, lease Lease) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	return lease.Release(ctx)
}

// cutLast is [strings.Cut] at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
