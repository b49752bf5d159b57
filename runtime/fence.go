package runtime

import (
	"context"
	"errors"
	"time"
)

type leaseKey struct{}

// underFence returns a context for work under a lease.
func underFence(ctx context.Context, lease Lease) context.Context {
	return context.WithValue(ctx, leaseKey{}, lease)
}

// Fence must be called by a driver before a write that it would finish even when ctx
// is cancelled (A4). It returns ErrLeaseLost if ctx belongs to a run whose lease is
// lost (A5). A process that was suspended resumes in the middle of its work, before it
// can notice that another process holds the lease: Fence then waits until that is known.
func Fence(ctx context.Context) error {
	const interval = 10 * time.Millisecond
	lease, ok := ctx.Value(leaseKey{}).(Lease)
	for ok && !lease.Valid() {
		select {
		case <-lease.Lost():
			return ErrLeaseLost
		case <-time.After(interval):
		}
	}
	if errors.Is(context.Cause(ctx), ErrLeaseLost) {
		return ErrLeaseLost
	}
	return nil
}
