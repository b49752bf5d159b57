// Package retry spaces retries after a server was unavailable for a moment, or busy.
package retry

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Max is the number of retries after transient errors.
const Max = 3

// A cluster that has responded before may be unavailable for Patience, for instance during a
// restart, and is asked again every Interval. A run loses its lease after about that time.
const (
	Patience = 10 * time.Second
	Interval = 250 * time.Millisecond
)

// Waits are the times between attempts.
type Waits struct{ next *backoff.ExponentialBackOff }

// NewWaits returns waits that begin with first and double, up to a minute. Each has a jitter
// of 50%, so that many clients do not retry simultaneously.
func NewWaits(first time.Duration) *Waits {
	next := &backoff.ExponentialBackOff{InitialInterval: first, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: time.Minute}
	next.Reset()
	return &Waits{next}
}

// Wait waits before the next attempt. If ctx ends first, it returns the cause.
func (w *Waits) Wait(ctx context.Context) error { return Pause(ctx, w.next.NextBackOff()) }

// Pause waits for d. If ctx ends first, it returns the cause.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
