package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

var _ runtime.Locker = (*Locker)(nil)

// A Locker provides leases to one of the processes that share them.
type Locker struct {
	// Expiry is how long the lease of a dead process is still held; default 15 seconds.
	Expiry time.Duration

	world  *World
	leases *leases
}

// leases are shared by all processes.
type leases struct {
	mu   sync.Mutex
	held map[runtime.EnvironmentKey]*lease
}

type lease struct {
	locker *Locker
	key    runtime.EnvironmentKey
	holder string
	since  time.Time
	next   runtime.Announcement
	lost   chan struct{}
	cancel chan string
	gone   bool
}

// Another returns the locker of another process with the same leases.
func (l *Locker) Another() *Locker {
	another := *l
	return &another
}

// Lock implements [runtime.Locker].
func (l *Locker) Lock(ctx context.Context, key runtime.EnvironmentKey, holder string) (runtime.Lease, error) {
	if err := l.world.step(ctx, "Locker.Lock", key.Name); err != nil {
		return nil, err
	}
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if h := l.leases.held[key]; h != nil {
		return nil, &runtime.LockedError{Key: key, Holder: h.is()}
	}
	h := &lease{locker: l, key: key, holder: holder, since: time.Now(), lost: make(chan struct{}), cancel: make(chan string, 1)}
	l.leases.held[key] = h
	return h, nil
}

func (h *lease) is() runtime.Holder {
	return runtime.Holder{By: h.holder, Since: h.since, Next: h.next}
}

// asked returns the lease of key, or ErrNotFound. The caller holds the mutex of the leases.
func (l *Locker) asked(ctx context.Context, op string, key runtime.EnvironmentKey) (*lease, error) {
	if err := l.world.step(ctx, op, key.Name); err != nil {
		return nil, err
	}
	h := l.leases.held[key]
	if h == nil {
		return nil, fmt.Errorf("lease of environment %s: %w", key.Name, runtime.ErrNotFound)
	}
	return h, nil
}

// Holder implements [runtime.Locker].
func (l *Locker) Holder(ctx context.Context, key runtime.EnvironmentKey) (*runtime.Holder, error) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	h, err := l.asked(ctx, "Locker.Holder", key)
	if errors.Is(err, runtime.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	is := h.is()
	return &is, nil
}

// Cancel implements [runtime.Locker].
func (l *Locker) Cancel(ctx context.Context, key runtime.EnvironmentKey, by string) (string, error) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	h, err := l.asked(ctx, "Locker.Cancel", key)
	if err != nil {
		return "", err
	}
	select {
	case h.cancel <- by:
	default: // another caller has asked already
	}
	return h.holder, nil
}

// Announce implements [runtime.Locker].
func (l *Locker) Announce(ctx context.Context, key runtime.EnvironmentKey, by string) (runtime.Announcement, error) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	h, err := l.asked(ctx, "Locker.Announce", key)
	if err != nil {
		return runtime.Announcement{}, err
	}
	h.next = runtime.Announcement{By: by, ID: strconv.FormatUint(rand.Uint64(), 16)}
	return h.next, nil
}

// Held returns the holder of the lease of key, or "".
func (l *Locker) Held(key runtime.EnvironmentKey) string {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if h := l.leases.held[key]; h != nil {
		return h.holder
	}
	return ""
}

// Lose takes the lease of key away from its holder, as a network partition would.
func (l *Locker) Lose(key runtime.EnvironmentKey) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if h := l.leases.held[key]; h != nil {
		h.end()
	}
}

// Kill makes the leases of this process expire, as if it were dead.
func (l *Locker) Kill() {
	expiry := l.Expiry
	if expiry == 0 {
		expiry = 15 * time.Second
	}
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	for _, h := range l.leases.held {
		if h.locker == l {
			time.AfterFunc(expiry, func() {
				l.leases.mu.Lock()
				defer l.leases.mu.Unlock()
				h.end()
			})
		}
	}
}

// end ends the lease. The caller holds the mutex of the leases.
func (h *lease) end() {
	if h.gone {
		return
	}
	h.gone = true
	close(h.lost)
	if held := h.locker.leases.held; held[h.key] == h {
		delete(held, h.key)
	}
}

// Lost implements [runtime.Lease].
func (h *lease) Lost() <-chan struct{} { return h.lost }

// Valid implements [runtime.Lease].
func (h *lease) Valid() bool {
	h.locker.leases.mu.Lock()
	defer h.locker.leases.mu.Unlock()
	return !h.gone
}

// Cancelled implements [runtime.Lease].
func (h *lease) Cancelled() <-chan string { return h.cancel }

// Held implements [runtime.Lease].
func (h *lease) Held(ctx context.Context) (bool, error) {
	if err := h.locker.world.step(ctx, "Lease.Held", h.key.Name); err != nil {
		return false, err
	}
	h.locker.leases.mu.Lock()
	defer h.locker.leases.mu.Unlock()
	return !h.gone, nil
}

// Release implements [runtime.Lease].
func (h *lease) Release(ctx context.Context) error {
	if err := h.locker.world.step(ctx, "Lease.Release", h.key.Name); err != nil {
		return err
	}
	h.locker.leases.mu.Lock()
	defer h.locker.leases.mu.Unlock()
	if !h.gone {
		h.gone = true
		delete(h.locker.leases.held, h.key)
	}
	return nil
}
