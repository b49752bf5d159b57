package runtime

import (
	"context"
	"slices"
	"sync"
)

// A sharedLocker lets the runs of a session share the lease of their environment:
// the first one acquires it, the last one releases it.
type sharedLocker struct {
	Locker

	mu  sync.Mutex   // held while the lease is acquired or released
	now *sharedLease // nil: the session holds no lease that a run may share
}

var _ Locker = (*sharedLocker)(nil)

// A sharedLease is a lease with the runs that hold it.
type sharedLease struct {
	Lease
	locker *sharedLocker
	shares []*share      // guarded by locker.mu
	ended  chan struct{} // closed when the last share is released
}

// Lock implements [Locker]. A lease that is lost, or whose work was cancelled, is
// no longer shared.
func (l *sharedLocker) Lock(ctx context.Context, key EnvironmentKey, holder string) (Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil {
		select {
		case <-l.now.Lost():
			l.now = nil
		default:
		}
	}
	if l.now == nil {
		lease, err := l.Locker.Lock(ctx, key, holder)
		if err != nil {
			return nil, err
		}
		l.now = &sharedLease{Lease: lease, locker: l, ended: make(chan struct{})}
		go l.now.heed()
	}
	sh := &share{sharedLease: l.now, cancelled: make(chan string, 1)}
	l.now.shares = append(l.now.shares, sh)
	return sh, nil
}

// heed passes a request to end the work under the lease to all shares. It returns when
// that has happened, or when the last share is released.
func (s *sharedLease) heed() {
	select {
	case by := <-s.Lease.Cancelled():
		s.locker.mu.Lock()
		defer s.locker.mu.Unlock()
		for _, sh := range s.shares {
			sh.cancelled <- by // it has room for the single value that a lease delivers
		}
		if s.locker.now == s {
			s.locker.now = nil
		}
	case <-s.ended:
	}
}

// A share is one run's share of a lease.
type share struct {
	*sharedLease
	cancelled chan string
}

// Cancelled implements [Lease].
func (sh *share) Cancelled() <-chan string { return sh.cancelled }

// Release implements [Lease]: the last share releases the lease.
func (sh *share) Release(ctx context.Context) error {
	l := sh.locker
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(sh.shares, sh)
	if i < 0 {
		return nil
	}
	sh.shares = slices.Delete(sh.shares, i, i+1)
	if len(sh.shares) > 0 {
		return nil
	}
	close(sh.ended)
	if l.now == sh.sharedLease {
		l.now = nil
	}
	return sh.Lease.Release(ctx)
}
