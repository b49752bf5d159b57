package store

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// inNamespace does a write, and creates its namespace if the write fails because
// the namespace does not exist. Checking first would cost a request for each write.
func (s *Store) inNamespace(ctx context.Context, key runtime.EnvironmentKey, write func() error) error {
	going := false // the namespace was being deleted
	for began := time.Now(); ; {
		err := write()
		switch {
		case err != nil && going && ctx.Err() != nil:
			return whileGoing(ctx, s.namespace(key))
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			going = true
			if err := s.awaitGone(ctx, s.namespace(key), began); err != nil {
				return err
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

// awaitGone waits a little for the end of the deletion of a namespace. Began is when
// waiting started.
func (s *Store) awaitGone(ctx context.Context, namespace string, began time.Time) error {
	if time.Since(began) > goneTime {
		return fmt.Errorf("namespace %s is still being deleted after %s; try again when it is gone", namespace, goneTime)
	}
	if retry.Pause(ctx, goneEvery) != nil {
		return whileGoing(ctx, namespace)
	}
	return nil
}

// whileGoing returns the error of an operation that was cancelled while a namespace was
// being deleted.
func whileGoing(ctx context.Context, namespace string) error {
	return fmt.Errorf("%w while namespace %s was being deleted", context.Cause(ctx), namespace)
}

const (
	// goneTime is how long the deletion of a namespace may take.
	goneTime = 2 * time.Minute
	// goneEvery is the polling interval. A user with permissions for a single namespace
	// may not be able to watch it.
	goneEvery = 250 * time.Millisecond
)

// missingNamespace reports whether a write failed because its namespace does not exist.
func missingNamespace(err error) bool {
	status, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

// makeNamespace creates the namespace in which the state of an environment is
// kept. If it is the environment's own, it must not belong to another one.
func (s *Store) makeNamespace(ctx context.Context, key runtime.EnvironmentKey) error {
	if s.namespace(key) == key.Namespace() {
		made, err := s.createNamespace(ctx, key)
		if err != nil || made {
			return err
		}
		return s.Claim(ctx, key)
	}
	_, err := s.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: s.namespace(key), Labels: set{labelManagedBy: managedBy},
	}})
	return err
}

// create creates a namespace, and reports whether it did: another process may have
// created it before.
func (s *Store) create(ctx context.Context, n *corev1.Namespace) (bool, error) {
	_, err := s.client.CoreV1().Namespaces().Create(ctx, n, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return false, nil
	case apierrors.IsForbidden(err):
		return false, fmt.Errorf("namespace %s does not exist, and you cannot create it; ask the administrator of the cluster to create it: %w", n.Name, err)
	case err != nil:
		return false, fmt.Errorf("create namespace %s: %w", n.Name, translate(ctx, err))
	}
	return true, nil
}
