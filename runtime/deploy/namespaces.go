package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// An environment has a namespace of its own, its home, which is labelled with the environment
// (SPEC E6). Its further namespaces are those of services that have one of their own
// (SPEC E9). These may be shared with others, so they get no owner: only their releases
// have one. A further namespace that is created here says for which environment, which deletes
// it if nothing else is in it.

// homeNamespace creates the namespace of an environment unless it exists.
func (d *Deployer) homeNamespace(ctx context.Context, key runtime.EnvironmentKey) error {
	name := key.Namespace()
	for {
		found, readable, err := d.existingNamespace(ctx, name)
		switch {
		case err != nil || !readable: // with access only inside the namespace, we cannot read the namespace itself
			return err
		case found != nil:
			if err := ownedByOther(found, key, ""); err != nil {
				return err
			}
			if found.Labels[labelKind] == kindNamespace {
				d.seen.namespace(name, found.CreationTimestamp.Time)
			}
			return nil
		}
		created, err := d.createNamespace(ctx, name, labelsOf(kindNamespace, key), nil)
		switch {
		case err != nil:
			return err
		case created:
			d.seen.namespace(name, time.Now())
			return nil
		}
	}
}

// furtherNamespaces returns the further namespaces of p that do not exist, sorted. It is an
// *OwnedError if one of them belongs to another environment.
func (d *Deployer) furtherNamespaces(ctx context.Context, key runtime.EnvironmentKey, p *plan.Plan) ([]string, error) {
	var missing []string
	services := make(map[string]string) // the first one of each namespace
	for i := range p.Services {
		s := &p.Services[i]
		if name := key.NamespaceOf(s); name != key.Namespace() && services[name] == "" {
			services[name] = s.Name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		exists, err := d.furtherNamespace(ctx, name, key, services[name])
		if err != nil {
			return nil, err
		}
		if !exists {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// furtherNamespace reports whether a further namespace exists. One that was created for
// another environment is now used by two: it is not deleted with that one any more, which may
// be about to do so.
func (d *Deployer) furtherNamespace(ctx context.Context, name string, key runtime.EnvironmentKey, service string) (exists bool, err error) {
	found, readable, err := d.existingNamespace(ctx, name)
	switch {
	case err != nil || !readable:
		return true, err
	case found == nil && plan.Reserved(name):
		return false, fmt.Errorf("namespace %s does not exist, and Kubernetes reserves namespaces that begin with kube- for itself", name)
	case found == nil:
		return false, nil
	}
	if err := ownedByOther(found, key.At(name), service); err != nil {
		return false, err
	}
	if by := found.Annotations[observe.AnnotationMadeFor]; by == "" || by == observe.MadeFor(key) {
		return true, nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": found.ResourceVersion, "annotations": map[string]any{observe.AnnotationMadeFor: nil},
	}})
	if err != nil {
		return false, err
	}
	_, err = d.cluster.Typed.CoreV1().Namespaces().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return d.furtherNamespace(ctx, name, key, service)
	case err != nil && !apierrors.IsForbidden(err):
		return false, fmt.Errorf("note that namespace %s has two users: %w", name, d.explain(ctx, err))
	}
	return true, nil
}

// existingNamespace returns a namespace, or nil if it does not exist. One that is being
// deleted does not exist when it is gone. If the user may not read it, readable is false: it
// is assumed to exist.
func (d *Deployer) existingNamespace(ctx context.Context, name string) (found *corev1.Namespace, readable bool, err error) {
	found, err = d.cluster.Typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return nil, false, nil
	case apierrors.IsNotFound(err):
		return nil, true, nil
	case err != nil:
		return nil, true, fmt.Errorf("look at namespace %s: %w", name, d.explain(ctx, err))
	case found.DeletionTimestamp != nil:
		return nil, true, d.gone(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"), "", name)
	}
	return found, true, nil
}

// ownedByOther returns an *OwnedError if a namespace belongs to another environment than key,
// which wants it for the service; empty: as its home.
func ownedByOther(n *corev1.Namespace, key runtime.EnvironmentKey, service string) error {
	if owner := runtime.OwnerOf(n.Labels); owner != key.Owner() && owner != (runtime.EnvironmentKey{}) {
		return &runtime.OwnedError{Key: key, Kind: "namespace", Owner: owner, Service: service}
	}
	return nil
}

// createNamespace creates a namespace, and reports whether it did: something else may have
// created it meanwhile.
func (d *Deployer) createNamespace(ctx context.Context, name string, labels, annotations map[string]string) (created bool, err error) {
	_, err = d.cluster.Typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: annotations},
	}, metav1.CreateOptions{FieldManager: fieldManager})
	switch {
	case apierrors.IsAlreadyExists(err):
		return false, nil
	case apierrors.IsForbidden(err):
		return false, fmt.Errorf("namespace %s does not exist, and may not be created; have it created by who administers the cluster: %w", name, err)
	case err != nil:
		return false, fmt.Errorf("create namespace %s: %w", name, d.explain(ctx, err))
	}
	return true, nil
}
