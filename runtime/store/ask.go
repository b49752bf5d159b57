package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
)

// Holder implements [runtime.Locker]. A lease whose renewal is overdue counts as held:
// whether its holder is dead is known only after watching it.
func (s *Store) Holder(ctx context.Context, key runtime.EnvironmentKey) (*runtime.Holder, error) {
	is, err := s.client.CoordinationV1().Leases(s.namespace(key)).Get(ctx, objectName(key), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("who holds environment %s of pipeline %s: %w", key.Name, key.Pipeline, translate(ctx, err))
	case diedHere(is.Annotations[annotationProcess]):
		return nil, nil
	}
	h := holderOf(is)
	return &h, nil
}

// Cancel implements [runtime.Locker]. Whether the holder is alive is decided before it is
// asked: a run that has little to finish may have exited before the answer is here.
func (s *Store) Cancel(ctx context.Context, key runtime.EnvironmentKey, by string) (holder string, err error) {
	held, err := s.Holder(ctx, key)
	if err != nil {
		return "", err
	}
	var is *coordinationv1.Lease
	err = runtime.ErrNotFound
	if held != nil {
		is, err = s.ask(ctx, key, annotationCancel, by)
	}
	if err != nil {
		return "", fmt.Errorf("cancel the run that holds environment %s of pipeline %s: %w", key.Name, key.Pipeline, err)
	}
	return holderOf(is).By, nil
}

// Announce implements [runtime.Locker].
func (s *Store) Announce(ctx context.Context, key runtime.EnvironmentKey, by string) (runtime.Announcement, error) {
	var random [8]byte
	rand.Read(random[:])
	next := runtime.Announcement{By: by, ID: hex.EncodeToString(random[:])}
	if _, err := s.ask(ctx, key, annotationNext, next.By+" "+next.ID); err != nil {
		return runtime.Announcement{}, fmt.Errorf("supersede the runs that wait for environment %s of pipeline %s: %w", key.Name, key.Pipeline, err)
	}
	return next, nil
}

// announced parses the annotation that Announce writes. An ID has no space.
func announced(text string) runtime.Announcement {
	at := strings.LastIndexByte(text, ' ')
	if at < 0 {
		return runtime.Announcement{}
	}
	return runtime.Announcement{By: text[:at], ID: text[at+1:]}
}

// ask writes an annotation on a lease held by another process. The holder sees it, and
// keeps it when it renews the lease. If the lease is free, the error is ErrNotFound.
func (s *Store) ask(ctx context.Context, key runtime.EnvironmentKey, annotation, text string) (*coordinationv1.Lease, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: text}}})
	if err != nil {
		return nil, err
	}
	is, err := s.client.CoordinationV1().Leases(s.namespace(key)).Patch(ctx, objectName(key), types.MergePatchType, patch, metav1.PatchOptions{})
	return is, translate(ctx, err)
}

// watchLease signals changes of a lease, such as a request to its holder to end its
// work, until ctx is done. If the watch fails, nothing is lost: each renewal of the
// lease also sees the changes.
func (s *Store) watchLease(ctx context.Context, key runtime.EnvironmentKey, changes chan<- struct{}) {
	reported := ""
	for ctx.Err() == nil {
		w, err := s.client.CoordinationV1().Leases(s.namespace(key)).Watch(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", objectName(key)).String(),
		})
		if apierrors.IsForbidden(err) {
			return
		}
		if err == nil {
			for e := range w.ResultChan() {
				is, ok := e.Object.(*coordinationv1.Lease)
				if !ok || is.Annotations[annotationCancel] == reported {
					continue
				}
				reported = is.Annotations[annotationCancel]
				select {
				case changes <- struct{}{}:
				case <-ctx.Done():
				}
			}
			w.Stop()
		}
		select { // the connection was lost
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
