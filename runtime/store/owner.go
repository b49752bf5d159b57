package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
)

// The owner of a namespace is in its labels (SPEC E6), and an annotation says in
// which namespace the state of the owner is kept (E1). Both are written in one
// request: with the namespace, which only one can create, or over the version of
// it that was read, which only one can replace.
//
// Without permission to read or label namespaces, the records decide: an environment
// whose record or lease is in the same namespace came first.

// annotationState is the namespace in which the state of the owner is kept. A
// namespace from before owners were recorded has none.
const annotationState = "pipelinefile.github.io/state-namespace"

// Owns implements [runtime.Store]. It makes one request for a namespace that the
// environment owns.
func (s *Store) Owns(ctx context.Context, key runtime.EnvironmentKey) (bool, error) {
	_, owns, err := s.owner(ctx, key)
	if apierrors.IsForbidden(err) {
		err = s.first(ctx, key)
	}
	return owns, err
}

// Claim implements [runtime.Store]. It waits for the end of a deletion of the namespace.
func (s *Store) Claim(ctx context.Context, key runtime.EnvironmentKey) error {
	for began := time.Now(); ; {
		namespace, owns, err := s.owner(ctx, key)
		switch {
		case err == nil && !owns && namespace == nil:
			var made bool
			if made, err = s.createNamespace(ctx, key); err == nil && !made {
				continue
			}
		case err == nil && !owns && namespace.DeletionTimestamp != nil:
			if err = s.awaitGone(ctx, namespace.Name, began); err == nil {
				continue
			}
		case err == nil && !owns:
			err = s.label(ctx, namespace, key)
			if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				continue
			}
			if apierrors.IsForbidden(err) {
				return nil // the records decide
			}
		case apierrors.IsForbidden(err):
			err = s.first(ctx, key)
		}
		return err
	}
}

// owner returns the namespace of an environment, if it exists, and whether the
// environment owns it. Without permission to read the namespace, the error is Forbidden.
func (s *Store) owner(ctx context.Context, key runtime.EnvironmentKey) (n *corev1.Namespace, owns bool, err error) {
	n, err = s.client.CoreV1().Namespaces().Get(ctx, key.Namespace(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, false, s.moved(ctx, key)
	case err != nil:
		return nil, false, fmt.Errorf("look at namespace %s: %w", key.Namespace(), translate(ctx, err))
	case n.DeletionTimestamp != nil:
		return n, false, s.moved(ctx, key)
	}
	switch owner := runtime.OwnerOf(n.Labels); owner {
	case key.Owner():
		owns, err = s.keepsState(ctx, key, n.Annotations[annotationState])
	case runtime.EnvironmentKey{}:
		if err = s.moved(ctx, key); err == nil {
			err = s.first(ctx, key)
		}
	default:
		err = &runtime.OwnedError{Key: key, Kind: "namespace", Owner: owner}
	}
	return n, owns, err
}

// moved returns a *MovedError if the environment exists in another namespace. A namespace
// that has only its labels does not count: volumes were kept in it (D6). Without
// permission to list namespaces, it returns nil.
func (s *Store) moved(ctx context.Context, key runtime.EnvironmentKey) error {
	list, err := s.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: set(key.Labels()).selector()})
	if apierrors.IsForbidden(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the namespace of %v: %w", key, translate(ctx, err))
	}
	for _, n := range list.Items {
		if n.Name == key.Namespace() || n.DeletionTimestamp != nil {
			continue
		}
		there, err := s.hasState(ctx, s.namespace(key.At(n.Name)), key, s.opts.Namespace == "")
		if err != nil && !apierrors.IsForbidden(err) {
			return err
		}
		if there {
			return &runtime.MovedError{Key: key, Namespace: n.Name}
		}
	}
	return nil
}

// keepsState reports whether the state of an environment is kept where this store
// keeps it. Another namespace that is recorded for the state does not count if it has
// neither a record nor a lease of the environment: a run died before it wrote any.
func (s *Store) keepsState(ctx context.Context, key runtime.EnvironmentKey, noted string) (bool, error) {
	if noted == s.namespace(key) || noted == "" && s.opts.Namespace == "" {
		return true, nil
	}
	if noted == "" {
		noted = key.Namespace()
	}
	there, err := s.hasState(ctx, noted, key, true)
	if there || apierrors.IsForbidden(err) {
		err = &runtime.ElsewhereError{Key: key, Namespace: noted}
	}
	return false, err
}

// first returns an *OwnedError if another environment of the namespace came first: it has
// a record or a lease, and the environment has no record. In the default namespace of the
// environment, the others are its namesakes.
func (s *Store) first(ctx context.Context, key runtime.EnvironmentKey) error {
	if key.In != "" {
		return s.firstOfAll(ctx, key)
	}
	namesakes := key.Namesakes()
	if len(namesakes) == 0 {
		return nil
	}
	if there, err := s.hasState(ctx, s.namespace(key), key, false); there || err != nil {
		return err
	}
	for _, other := range namesakes {
		switch there, err := s.hasState(ctx, s.namespace(key), other, true); {
		case err != nil:
			return err
		case there:
			return &runtime.OwnedError{Key: key, Kind: "namespace", Owner: other}
		}
	}
	return nil
}

// firstOfAll is first for an environment in a namespace that any other one may have.
func (s *Store) firstOfAll(ctx context.Context, key runtime.EnvironmentKey) error {
	if there, err := s.hasState(ctx, s.namespace(key), key, false); there || err != nil {
		return err
	}
	list, err := s.listMetadata(ctx, s.namespace(key), labels(kindEnvironment, runtime.EnvironmentKey{}), "!"+labelPiece)
	if err != nil {
		return fmt.Errorf("list the environments in namespace %s: %w", s.namespace(key), translate(ctx, err))
	}
	for _, m := range list {
		if other := keyOf(m.Labels, m.Annotations); other.Namespace() == key.Namespace() && other != key {
			return &runtime.OwnedError{Key: key, Kind: "namespace", Owner: other.Owner()}
		}
	}
	return nil
}

// hasState reports whether a namespace has the record of an environment, or, if lease is
// set, a lease that is held.
func (s *Store) hasState(ctx context.Context, namespace string, key runtime.EnvironmentKey, lease bool) (bool, error) {
	_, err := s.client.CoreV1().ConfigMaps(namespace).Get(ctx, objectName(key), metav1.GetOptions{})
	there := err == nil
	if apierrors.IsNotFound(err) && lease {
		var is *coordinationv1.Lease
		is, err = s.client.CoordinationV1().Leases(namespace).Get(ctx, objectName(key), metav1.GetOptions{})
		there = err == nil && looksAlive(is, s.now())
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("look for %v in namespace %s: %w", key, namespace, translate(ctx, err))
	}
	return there, nil
}

// label makes the environment the owner of a namespace, unless the namespace has changed
// since it was read. pipe still does not delete a namespace that it did not create.
func (s *Store) label(ctx context.Context, n *corev1.Namespace, key runtime.EnvironmentKey) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": n.ResourceVersion,
		"labels":          key.Labels(),
		"annotations":     map[string]string{annotationState: s.namespace(key)},
	}})
	if err != nil {
		return err
	}
	if _, err = s.client.CoreV1().Namespaces().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label namespace %s: %w", n.Name, translate(ctx, err))
	}
	return nil
}

// createNamespace creates the namespace of an environment, owned by it, and reports
// whether it did: another process may have created it before.
func (s *Store) createNamespace(ctx context.Context, key runtime.EnvironmentKey) (bool, error) {
	return s.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:        key.Namespace(),
		Labels:      labels(kindNamespace, key),
		Annotations: map[string]string{annotationState: s.namespace(key)},
	}})
}
