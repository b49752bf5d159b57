package store

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// inNamespace does a write, and makes the namespace that it is in if that is
// what the write lacks. Asking first would be one more request for each write.
func (s *Store) inNamespace(ctx context.Context, key runtime.EnvironmentKey, write func() error) error {
	going := false // the namespace was being deleted
	for began := time.Now(); ; {
		err := write()
		switch {
		case err != nil && going && ctx.Err() != nil:
			return whileGoing(ctx, s.namespace(key))
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			going = true
			if time.Since(began) > goneTime {
				return fmt.Errorf("namespace %s is still being deleted after %s; try again when it is gone: %w", s.namespace(key), goneTime, err)
			}
			select {
			case <-time.After(goneEvery):
			case <-ctx.Done():
				return whileGoing(ctx, s.namespace(key))
			}
			continue
		case !missingNamespace(err):
			return translate(ctx, err)
		}
		if err := s.makeNamespace(ctx, key); err != nil {
			return err
		}
	}
}

// whileGoing is the error of what was ended while a namespace was being deleted.
func whileGoing(ctx context.Context, namespace string) error {
	return fmt.Errorf("%w while namespace %s was being deleted", context.Cause(ctx), namespace)
}

const (
	// goneTime is how long a namespace may take to be gone.
	goneTime = 2 * time.Minute
	// goneEvery is how often it is tried whether it is. Whoever has rights to one
	// namespace may not watch it.
	goneEvery = 250 * time.Millisecond
)

// missingNamespace reports whether a write failed as its namespace does not exist.
func missingNamespace(err error) bool {
	status, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

// makeNamespace makes the namespace of an environment, labelled as ours. That
// another one makes it at the same time is no error.
func (s *Store) makeNamespace(ctx context.Context, key runtime.EnvironmentKey) error {
	name := s.namespace(key)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if s.opts.Namespace == "" {
		namespace.Labels = labels(kindNamespace, key)
	} else {
		namespace.Labels = set{labelManagedBy: managedBy}
	}
	_, err := s.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil
	case apierrors.IsForbidden(err):
		return fmt.Errorf("namespace %s does not exist, and may not be created; have it created by who administers the cluster: %w", name, err)
	case err != nil:
		return fmt.Errorf("create namespace %s: %w", name, translate(ctx, err))
	}
	return nil
}
