package store

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// TestLeaseObject: who holds an environment can be read with kubectl.
func TestLeaseObject(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	s := start(t, Options{})
	lease, err := s.Lock(ctx, key, "ana@laptop")
	if err != nil {
		t.Fatal(err)
	}
	leases := client(t).CoordinationV1().Leases(key.Namespace())
	is, err := leases.Get(ctx, "pipe."+key.Pipeline+".staging", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(*is.Spec.HolderIdentity, "ana@laptop ") || *is.Spec.LeaseDurationSeconds != 15 || is.Labels[runtime.LabelEnvironment] != "staging" {
		t.Errorf("lease %+v, labels %v", is.Spec, is.Labels)
	}
	if err := lease.Release(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := leases.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("%d leases are left (%v)", len(list.Items), err)
	}
}

// TestClockSkew: whoever's clock is wrong, and by how much, a lease that is
// renewed is never taken over, and that of a dead process is.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		holder, other time.Duration
	}{
		{"the holder is behind", -time.Hour, 0},
		{"the holder is ahead", time.Hour, 0},
		{"the other is ahead a little", 0, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			key, ctx := fresh(t), t.Context()
			holder, other := start(t, Options{LeaseDuration: leaseDuration}), start(t, Options{LeaseDuration: leaseDuration})
			holder.now = func() time.Time { return time.Now().Add(test.holder) }
			other.now = func() time.Time { return time.Now().Add(test.other) }
			lease, err := holder.Lock(ctx, key, "ana")
			if err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(2 * leaseDuration); time.Now().Before(end); {
				begun := time.Now()
				_, err := other.Lock(ctx, key, "ben")
				var locked *runtime.LockedError
				if !errors.As(err, &locked) {
					t.Fatalf("Lock while the holder lives = %v, want a LockedError", err)
				}
				if took := time.Since(begun); took > leaseDuration+slow {
					t.Errorf("it took %v to be refused", took)
				}
			}
			select {
			case <-lease.Lost():
				t.Errorf("the lease was lost")
			default:
			}
			holder.kill()
			// One that comes now has seen nothing yet, and must find out by itself.
			newcomer := start(t, Options{LeaseDuration: leaseDuration})
			newcomer.now = other.now
			for begun := time.Now(); ; time.Sleep(leaseDuration / 20) {
				lease, err := newcomer.Lock(ctx, key, "cleo")
				if err == nil {
					if took := time.Since(begun); took < leaseDuration/2 {
						t.Errorf("taken over after %v", took)
					}
					if err := lease.Release(ctx); err != nil {
						t.Error(err)
					}
					break
				}
				var locked *runtime.LockedError
				if !errors.As(err, &locked) || time.Since(begun) > 3*leaseDuration+slow {
					t.Fatalf("after %v Lock = %v", time.Since(begun), err)
				}
			}
		})
	}
}

// TestSteppedClock: a clock that is set forth and back while a lease is held
// neither loses it nor has it taken over.
func TestSteppedClock(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	var step atomic.Int64
	stepped := func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	holder, other := start(t, Options{LeaseDuration: leaseDuration}), start(t, Options{LeaseDuration: leaseDuration})
	holder.now, other.now = stepped, stepped // they are on one machine
	lease, err := holder.Lock(ctx, key, "ana")
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
		step.Store(int64(by))
		for end := time.Now().Add(leaseDuration); time.Now().Before(end); time.Sleep(leaseDuration / 20) {
			_, err := other.Lock(ctx, key, "ben")
			var locked *runtime.LockedError
			if !errors.As(err, &locked) {
				t.Fatalf("with the clock stepped by %v, Lock = %v, want a LockedError", by, err)
			}
		}
		select {
		case <-lease.Lost():
			t.Fatalf("with the clock stepped by %v, the lease was lost", by)
		default:
		}
	}
	if err := lease.Release(ctx); err != nil {
		t.Error(err)
	}
}

// TestFreshAfterCrash: a process that is started again long after it was killed
// gets the lease with one call, though it has to watch it first (A6).
func TestFreshAfterCrash(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	dead := start(t, Options{LeaseDuration: leaseDuration})
	if _, err := dead.Lock(ctx, key, "ana"); err != nil {
		t.Fatal(err)
	}
	dead.kill()
	time.Sleep(leaseDuration + leaseDuration/2)
	begun := time.Now()
	lease, err := start(t, Options{LeaseDuration: leaseDuration}).Lock(ctx, key, "ana")
	if err != nil {
		t.Fatalf("Lock = %v", err)
	}
	if took := time.Since(begun); took < leaseDuration || took > 2*leaseDuration+slow {
		t.Errorf("the lease was taken over after %v, want %v of watching", took, leaseDuration)
	}
	if err := lease.Release(ctx); err != nil {
		t.Error(err)
	}
}

// TestShakyServer: errors, refusals and lost answers for less than the lease's
// patience cost nothing.
func TestShakyServer(t *testing.T) {
	t.Parallel()
	for name, shake := range map[string]func(p *process){
		"requests lost": func(p *process) {
			p.before = func(n int64, r *http.Request) error {
				if n%2 == 0 {
					return errors.New("connection reset by peer")
				}
				return nil
			}
		},
		"answers lost": func(p *process) {
			p.after = func(n int64, r *http.Request) error {
				if n%2 == 0 && r.Method == http.MethodPut {
					return errors.New("connection reset by peer")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, ctx := fresh(t), t.Context()
			p := start(t, Options{LeaseDuration: leaseDuration})
			shake(p)
			if _, _, err := p.Environments(ctx, "none"); err != nil { // so that Lock ends with an odd request
				t.Fatal(err)
			}
			lease, err := p.Lock(ctx, key, "ana")
			if err != nil {
				t.Fatal(err)
			}
			p.shaken.Store(true)
			select {
			case <-lease.Lost():
				t.Errorf("the lease was lost")
			case <-time.After(2 * leaseDuration):
			}
			for range 3 { // its own requests are shaken, too
				if err = lease.Release(ctx); err == nil {
					break
				}
			}
			if err != nil {
				t.Errorf("Release = %v", err)
			}
			if _, err := start(t, Options{}).Lock(ctx, key, "ben"); err != nil {
				t.Errorf("Lock after the release = %v", err)
			}
		})
	}
}

// TestDeletedLease: a lease that somebody deletes, to break it, is lost soon.
func TestDeletedLease(t *testing.T) {
	t.Parallel()
	key, ctx := fresh(t), t.Context()
	lease, err := start(t, Options{LeaseDuration: leaseDuration}).Lock(ctx, key, "ana")
	if err != nil {
		t.Fatal(err)
	}
	if err := client(t).CoordinationV1().Leases(key.Namespace()).Delete(ctx, objectName(key), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lease.Lost():
	case <-time.After(leaseDuration + slow):
		t.Errorf("the lease was not lost")
	}
	if err := lease.Release(ctx); err != nil {
		t.Errorf("Release = %v", err)
	}
}
