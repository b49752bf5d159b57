package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// annotationHolder is the name of the holder of a lease, to be shown. The identity in
// its spec is different each time that it is acquired.
const annotationHolder = "pipelinefile.github.io/holder"

// Annotations that others write on a lease, and its holder keeps: who asked that its
// work ends, and who supersedes the waiters.
const (
	annotationCancel = "pipelinefile.github.io/cancel"
	annotationNext   = "pipelinefile.github.io/next"
)

// A sighting is the last observed change of a lease of another holder. A live holder
// changes its lease regularly. Whether it is alive is decided by how
// long its lease was observed not to change, using only this machine's clock:
// clocks of two machines are never compared, because one may be wrong.
type sighting struct {
	version string
	at      time.Time
}

// Lock implements [runtime.Locker]. A lease whose renewal is overdue is watched for up to
// LeaseDuration before it is taken over; Lock blocks that long.
func (s *Store) Lock(ctx context.Context, key runtime.EnvironmentKey, holder string) (runtime.Lease, error) {
	var random [8]byte
	rand.Read(random[:])
	l := &lease{
		store:    s,
		key:      key,
		holder:   holder,
		identity: holder + " " + hex.EncodeToString(random[:]),
		lost:     make(chan struct{}),
		ended:    make(chan struct{}),

		cancelled: make(chan string, 1),
	}
	if err := l.take(ctx); err != nil {
		var locked *runtime.LockedError
		if errors.As(err, &locked) {
			return nil, err
		}
		return nil, fmt.Errorf("lock environment %s of pipeline %s: %w", key.Name, key.Pipeline, err)
	}
	var renewing context.Context
	renewing, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.keep(renewing)
	return l, nil
}

// A lease is a lease that this process holds.
type lease struct {
	store            *Store
	key              runtime.EnvironmentKey
	holder, identity string
	stop             context.CancelFunc
	lost             chan struct{} // closed by keep
	cancelled        chan string   // of one element, filled by keep
	ended            chan struct{} // closed when keep returns

	// Only take, then keep, then Release touch these.
	version  string
	uid      types.UID
	acquired metav1.MicroTime
	asked    map[string]string // annotations by which others have asked for something

	renewed atomic.Pointer[time.Time] // when the last renewal that succeeded was begun
}

// take takes the lease if it is free, or if its holder is dead.
func (l *lease) take(ctx context.Context) error {
	s := l.store
	leases := s.client.CoordinationV1().Leases(s.namespace(l.key))
	watching := "" // the version of a lease whose holder seems to be dead
	for {
		l.renewedAt(time.Now())
		l.acquired = metav1.NewMicroTime(s.now())
		var taken *coordinationv1.Lease
		err := s.inNamespace(ctx, l.key, func() (err error) {
			taken, err = leases.Create(ctx, l.object("", ""), metav1.CreateOptions{})
			return err
		})
		if err == nil {
			l.version, l.uid = taken.ResourceVersion, taken.UID
			return nil
		}
		if !errors.Is(err, runtime.ErrConflict) {
			return err
		}
		is, err := leases.Get(ctx, objectName(l.key), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue // released meanwhile
		}
		if err != nil {
			return translate(ctx, err)
		}
		if l.isOurs(is) { // it was created, and the response was lost
			l.version, l.uid = is.ResourceVersion, is.UID
			return nil
		}
		wait := s.watched(l.key, is)
		if diedHere(is.Annotations[annotationProcess]) {
			wait = 0
		}
		switch {
		case wait <= 0:
			l.renewedAt(time.Now())
			taken, err := leases.Update(ctx, l.object(is.ResourceVersion, is.UID), metav1.UpdateOptions{})
			if err == nil {
				l.version, l.uid = taken.ResourceVersion, taken.UID
				return nil
			}
			if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				return translate(ctx, err)
			}
			continue
		case looksAlive(is, s.now()), watching != "" && watching != is.ResourceVersion:
			return &runtime.LockedError{Key: l.key, Holder: holderOf(is)}
		}
		watching = is.ResourceVersion
		if err := retry.Pause(ctx, min(wait, s.opts.LeaseDuration/10)); err != nil {
			return err
		}
	}
}

// watched records the state of a lease and returns how much longer it must be observed
// not to change until its holder is certainly dead.
func (s *Store) watched(key runtime.EnvironmentKey, is *coordinationv1.Lease) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.seen[key]
	if !ok || last.version != is.ResourceVersion {
		last = sighting{is.ResourceVersion, time.Now()}
		s.seen[key] = last
	}
	return duration(is) - time.Since(last.at)
}

// looksAlive reports whether the holder seems to be alive according to the clocks: a
// hint that is good enough to refuse a second run immediately.
func looksAlive(is *coordinationv1.Lease, now time.Time) bool {
	return is.Spec.RenewTime != nil && now.Sub(is.Spec.RenewTime.Time).Abs() < duration(is)
}

func duration(is *coordinationv1.Lease) time.Duration {
	if is.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return time.Duration(*is.Spec.LeaseDurationSeconds) * time.Second
}

// holderOf returns the holder of a lease.
func holderOf(is *coordinationv1.Lease) runtime.Holder {
	h := runtime.Holder{By: is.Annotations[annotationHolder], Next: announced(is.Annotations[annotationNext])}
	if h.By == "" && is.Spec.HolderIdentity != nil {
		h.By = *is.Spec.HolderIdentity
	}
	if is.Spec.AcquireTime != nil {
		h.Since = is.Spec.AcquireTime.Time
	}
	return h
}

// object returns the lease to write over the one with that version. The
// UID makes sure that it still exists: an update of a Lease that does not exist
// would create it, and a process that was suspended during its lease and that of another
// process would not notice.
func (l *lease) object(version string, uid types.UID) *coordinationv1.Lease {
	now := metav1.NewMicroTime(l.store.now())
	annotations := map[string]string{annotationHolder: l.holder}
	if process := thisProcess(); process != "" {
		annotations[annotationProcess] = process
	}
	maps.Copy(annotations, l.asked)
	seconds := int32(l.store.opts.LeaseDuration / time.Second)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name:            objectName(l.key),
			Labels:          labels(kindLease, l.key),
			Annotations:     annotations,
			ResourceVersion: version,
			UID:             uid,
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       &l.identity,
			LeaseDurationSeconds: &seconds,
			AcquireTime:          &l.acquired,
			RenewTime:            &now,
		},
	}
}
