package runtimetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

// A LockerTest configures TestLocker.
type LockerTest struct {
	// Open returns the locker of another process. kill ends that process: it no longer renews
	// or releases its leases. kill may be called several times.
	Open func(t *testing.T) (locker runtime.Locker, kill func())
	// Expiry is a time after which the lease of a dead process has certainly expired, on a
	// machine that is not busy. A short one makes the test fast.
	Expiry time.Duration
}

// busy is the additional time that an operation may take on a busy machine.
const busy = time.Minute

// TestLocker checks the contract of [runtime.Locker]. It uses keys of pipelines whose names
// start with "contract-".
func TestLocker(t *testing.T, lt LockerTest) {
	for name, test := range map[string]func(*testing.T, LockerTest){
		"exclusive": testLockerExclusive,
		"renewed":   testLockerRenewed,
		"takeover":  testLockerTakeover,
		"lost":      testLockerLost,
		"crowd":     testLockerCrowd,
		"cancelled": testLockerCancelled,
		"asked":     testLockerAsked,
		"nobody":    testLockerNobody,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, lt)
		})
	}
}

func lockKey(name string) runtime.EnvironmentKey {
	return runtime.EnvironmentKey{Pipeline: Unique("contract"), Name: name}
}

func mustLock(t *testing.T, l runtime.Locker, key runtime.EnvironmentKey, holder string) runtime.Lease {
	t.Helper()
	lease, err := l.Lock(t.Context(), key, holder)
	if err != nil {
		t.Fatalf("Lock(%v, %q) = %v", key, holder, err)
	}
	return lease
}

func mustRelease(t *testing.T, lease runtime.Lease) {
	t.Helper()
	if err := lease.Release(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Release = %v", err)
	}
}

func testLockerExclusive(t *testing.T, lt LockerTest) {
	a, _ := lt.Open(t)
	b, _ := lt.Open(t)
	key := lockKey("staging")
	before := time.Now().Add(-time.Second) // leases may have a resolution of one second
	lease := mustLock(t, a, key, "ana@laptop")
	if !lease.Valid() {
		t.Errorf("a lease that was just taken is not valid")
	}
	// Neither another process nor the same one gets it again, not even for the same holder.
	for _, l := range []runtime.Locker{a, b} {
		for _, holder := range []string{"ana@laptop", "ben@server"} {
			_, err := l.Lock(t.Context(), key, holder)
			var locked *runtime.LockedError
			if !errors.As(err, &locked) {
				t.Fatalf("second Lock = %v, want a LockedError", err)
			}
			if locked.Holder.By != "ana@laptop" || locked.Key != key {
				t.Errorf("locked by %q, key %v, want ana@laptop, %v", locked.Holder.By, locked.Key, key)
			}
			if locked.Holder.Since.Before(before) || locked.Holder.Since.After(time.Now().Add(time.Second)) {
				t.Errorf("locked since %v, want about now", locked.Holder.Since)
			}
		}
	}
	// Another environment is another lease.
	other := mustLock(t, b, runtime.EnvironmentKey{Pipeline: key.Pipeline, Name: "production"}, "ben@server")
	mustRelease(t, other)
	mustRelease(t, lease)
	mustRelease(t, mustLock(t, b, key, "ben@server"))
	mustRelease(t, mustLock(t, a, key, "ana@laptop"))
}

func testLockerRenewed(t *testing.T, lt LockerTest) {
	a, _ := lt.Open(t)
	b, _ := lt.Open(t)
	key := lockKey("staging")
	lease := mustLock(t, a, key, "ana")
	// Wait for longer than a lease is held without renewal, and try to get it as often as a
	// waiting process does.
	for end := time.Now().Add(lt.Expiry + lt.Expiry/2); time.Now().Before(end); time.Sleep(lt.Expiry / 10) {
		if l, err := b.Lock(t.Context(), key, "ben"); err == nil {
			mustRelease(t, l)
			t.Fatalf("a lease that is renewed was taken over")
		}
	}
	select {
	case <-lease.Lost():
		t.Errorf("a lease that is renewed was lost")
	default:
	}
	mustRelease(t, lease)
}

func testLockerTakeover(t *testing.T, lt LockerTest) {
	a, kill := lt.Open(t)
	b, _ := lt.Open(t)
	key := lockKey("staging")
	mustLock(t, a, key, "ana")
	kill()
	for start := time.Now(); ; time.Sleep(lt.Expiry / 50) {
		lease, err := b.Lock(t.Context(), key, "ben")
		if err == nil {
			mustRelease(t, lease)
			break
		}
		var locked *runtime.LockedError
		if !errors.As(err, &locked) {
			t.Fatalf("Lock = %v, want a LockedError", err)
		}
		if time.Since(start) > lt.Expiry+busy {
			t.Fatalf("the lease of a dead process is still held after %v", lt.Expiry)
		}
	}
}

// testLockerLost revives a process after another one has taken over its lease: the process
// learns that it has lost the lease, and releasing it does not release that of the other.
func testLockerLost(t *testing.T, lt LockerTest) {
	a, kill := lt.Open(t)
	b, _ := lt.Open(t)
	key := lockKey("staging")
	lost := mustLock(t, a, key, "ana")
	kill()
	select {
	case <-lost.Lost():
	case <-time.After(lt.Expiry + busy):
		t.Fatalf("a lease that cannot be renewed is not lost after %v", lt.Expiry)
	}
	if lost.Valid() {
		t.Errorf("a lease that was lost is valid")
	}
	var lease runtime.Lease
	for start := time.Now(); lease == nil; time.Sleep(lt.Expiry / 50) {
		var err error
		if lease, err = b.Lock(t.Context(), key, "ben"); err != nil && time.Since(start) > lt.Expiry+busy {
			t.Fatalf("Lock = %v", err)
		}
	}
	_ = lost.Release(t.Context()) // may fail, because the process cannot connect
	if _, err := b.Lock(t.Context(), key, "eve"); err == nil {
		t.Errorf("the release of a lost lease released that of another")
	}
	mustRelease(t, lease)
}

// testLockerCrowd makes many compete for one lease: there is never more than one holder, and
// each gets it in the end.
func testLockerCrowd(t *testing.T, lt LockerTest) {
	key := lockKey("staging")
	var mu sync.Mutex
	holders, got := 0, 0
	var wg sync.WaitGroup
	const crowd = 6
	for range crowd {
		l, _ := lt.Open(t)
		wg.Go(func() {
			for ; ; time.Sleep(5 * time.Millisecond) {
				lease, err := l.Lock(t.Context(), key, "one of many")
				var locked *runtime.LockedError
				if errors.As(err, &locked) {
					continue
				}
				if err != nil {
					t.Errorf("Lock = %v", err)
					return
				}
				mu.Lock()
				if holders++; holders > 1 {
					t.Errorf("%d hold the lease", holders)
				}
				mu.Unlock()
				if held, err := lease.Held(t.Context()); err != nil || !held { // the others try in the meantime
					t.Errorf("Held = %v, %v", held, err)
				}
				mu.Lock()
				holders--
				got++
				mu.Unlock()
				mustRelease(t, lease)
				return
			}
		})
	}
	wg.Wait()
	if got != crowd {
		t.Errorf("%d of %d got the lease", got, crowd)
	}
}

func testLockerCancelled(t *testing.T, lt LockerTest) {
	l, _ := lt.Open(t)
	key := lockKey("staging")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Lock(ctx, key, "ana"); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock with a cancelled context = %v", err)
	}
	// The lease does not depend on the context of Lock.
	ctx, cancel = context.WithCancel(t.Context())
	lease, err := l.Lock(ctx, key, "ana")
	if err != nil {
		t.Fatalf("Lock = %v", err)
	}
	cancel()
	select {
	case <-lease.Lost():
		t.Errorf("the lease was lost with the context of Lock")
	case <-time.After(lt.Expiry / 2):
	}
	mustRelease(t, lease)
}

// testLockerAsked: requests to the holder of a lease arrive, and are kept when it is renewed.
func testLockerAsked(t *testing.T, lt LockerTest) {
	a, _ := lt.Open(t)
	b, _ := lt.Open(t)
	ctx, key := t.Context(), lockKey("staging")
	lease := mustLock(t, a, key, "ana")
	if held, err := lease.Held(ctx); err != nil || !held {
		t.Errorf("Held = %v, %v", held, err)
	}
	first, err := b.Announce(ctx, key, "ben smith")
	if err != nil || first.By != "ben smith" {
		t.Fatalf("Announce = %+v, %v", first, err)
	}
	second, err := b.Announce(ctx, key, "ben smith")
	if err != nil || second == first {
		t.Fatalf("Announce again = %+v, %v", second, err)
	}
	for _, by := range []string{"ben", "ben"} { // it is idempotent
		if holder, err := b.Cancel(ctx, key, by); err != nil || holder != "ana" {
			t.Fatalf("Cancel = %q, %v", holder, err)
		}
	}
	select {
	case by := <-lease.Cancelled():
		if by != "ben" {
			t.Errorf("cancelled by %q", by)
		}
	case <-lease.Lost():
		t.Fatal("a lease that is cancelled was lost")
	case <-time.After(time.Minute):
		t.Fatal("nobody was notified")
	}
	for end := time.Now().Add(lt.Expiry); time.Now().Before(end); time.Sleep(lt.Expiry / 10) {
		_, err := b.Lock(ctx, key, "ben")
		var locked *runtime.LockedError
		if !errors.As(err, &locked) || locked.Holder.Next != second {
			t.Fatalf("Lock = %v, want it locked with %+v as the next", err, second)
		}
		if is, err := b.Holder(ctx, key); err != nil || is == nil || is.By != "ana" || is.Next != second || !is.Since.Equal(locked.Holder.Since) {
			t.Fatalf("Holder = %v, %v", is, err)
		}
	}
	mustRelease(t, lease)
	if held, err := lease.Held(ctx); err != nil || held {
		t.Errorf("Held after Release = %v, %v", held, err)
	}
	// The next holder has no requests.
	next := mustLock(t, b, key, "ben")
	if is, err := a.Holder(ctx, key); err != nil || is == nil || is.Next != (runtime.Announcement{}) {
		t.Errorf("Holder = %+v, %v", is, err)
	}
	select {
	case by := <-next.Cancelled():
		t.Errorf("cancelled by %q", by)
	default:
	}
	mustRelease(t, next)
}

// testLockerNobody: a lease without a holder cannot receive requests.
func testLockerNobody(t *testing.T, lt LockerTest) {
	l, _ := lt.Open(t)
	ctx, key := t.Context(), lockKey("staging")
	if is, err := l.Holder(ctx, key); err != nil || is != nil {
		t.Errorf("Holder = %v, %v", is, err)
	}
	if _, err := l.Cancel(ctx, key, "ben"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Cancel = %v, want ErrNotFound", err)
	}
	if _, err := l.Announce(ctx, key, "ben"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Announce = %v, want ErrNotFound", err)
	}
}
