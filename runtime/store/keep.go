package store

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Lost implements [runtime.Lease].
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Cancelled implements [runtime.Lease].
func (l *lease) Cancelled() <-chan string { return l.cancelled }

// Valid implements [runtime.Lease]. While this process was suspended, the lease was
// not renewed, and another process may hold it before this one has noticed.
func (l *lease) Valid() bool {
	select {
	case <-l.lost:
		return false
	default:
		return l.sinceRenewal() < l.store.opts.LeaseDuration
	}
}

// Held implements [runtime.Lease].
func (l *lease) Held(ctx context.Context) (bool, error) {
	is, err := l.store.client.CoordinationV1().Leases(l.store.namespace(l.key)).Get(ctx, objectName(l.key), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil && l.isOurs(is), translate(ctx, err)
}

func (l *lease) isOurs(is *coordinationv1.Lease) bool {
	return is.Spec.HolderIdentity != nil && *is.Spec.HolderIdentity == l.identity
}

func (l *lease) renewedAt(at time.Time) { l.renewed.Store(&at) }

func (l *lease) sinceRenewal() time.Duration { return time.Since(*l.renewed.Load()) }

// keep renews the lease until ctx is done or the lease is lost.
//
// It is lost when another process holds it, when it was deleted, or when it
// could not be renewed for two thirds of its duration: the work under it then has
// the last third to end before another process takes it over.
func (l *lease) keep(ctx context.Context) {
	defer close(l.ended)
	duration := l.store.opts.LeaseDuration
	patience := duration * 2 / 3
	next := duration / 5
	// Changes by others are seen immediately if leases may be watched, and otherwise at
	// the next renewal.
	changes := make(chan struct{}, 1)
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { l.store.watchLease(ctx, l.key, changes) })
	defer watching.Wait()
	defer stop()
	for {
		select {
		case <-time.After(next):
		case <-changes:
		case <-ctx.Done():
			return
		}
		// A request that is never answered must leave time for another one.
		renewed, mine := l.renew(ctx, min(duration/3, patience-l.sinceRenewal()))
		switch {
		case ctx.Err() != nil:
			return
		case !mine, l.sinceRenewal() >= patience:
			close(l.lost)
			return
		case renewed:
			next = duration / 5
		default:
			next = duration / 20
		}
	}
}

// renew tries to renew the lease. It reports whether it succeeded, and whether the
// lease may still be held: other errors do not decide that.
func (l *lease) renew(ctx context.Context, within time.Duration) (renewed, mine bool) {
	ctx, stop := context.WithTimeout(ctx, within)
	defer stop()
	leases := l.store.client.CoordinationV1().Leases(l.store.namespace(l.key))
	for {
		begun := time.Now()
		is, err := leases.Update(ctx, l.object(l.version, l.uid), metav1.UpdateOptions{})
		switch {
		case err == nil:
			l.version = is.ResourceVersion
			l.renewedAt(begun)
			return true, true
		case apierrors.IsNotFound(err):
			return false, false
		case !apierrors.IsConflict(err):
			return false, true
		}
		// Changed by another process, or by a renewal whose response was lost.
		if is, err = leases.Get(ctx, objectName(l.key), metav1.GetOptions{}); err != nil {
			return false, !apierrors.IsNotFound(err)
		}
		if !l.isOurs(is) {
			return false, false
		}
		l.heed(is)
	}
}

// heed handles the annotations that others have written on the lease.
func (l *lease) heed(is *coordinationv1.Lease) {
	l.version = is.ResourceVersion
	l.asked = make(map[string]string)
	for _, name := range []string{annotationCancel, annotationNext} {
		if text := is.Annotations[name]; text != "" {
			l.asked[name] = text
		}
	}
	if by := l.asked[annotationCancel]; by != "" {
		select {
		case l.cancelled <- by:
		default: // it was already delivered
		}
	}
}

// Release implements [runtime.Lease]. It removes the lease unless another process holds
// it now.
func (l *lease) Release(ctx context.Context) error {
	l.stop()
	<-l.ended
	leases := l.store.client.CoordinationV1().Leases(l.store.namespace(l.key))
	for {
		err := leases.Delete(ctx, objectName(l.key), metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{ResourceVersion: &l.version},
		})
		switch {
		case err == nil, apierrors.IsNotFound(err):
			return nil
		case !apierrors.IsConflict(err):
			return translate(ctx, err)
		}
		is, err := leases.Get(ctx, objectName(l.key), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return translate(ctx, err)
		case !l.isOurs(is):
			return nil
		}
		l.version = is.ResourceVersion
	}
}
