package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// The further namespaces of an environment are those of services that have one of their own
// (SPEC E9). They may be shared with others, so they get no owner: only their releases
// have one. A namespace that is created here says for which environment, which deletes it if
// nothing else is in it.

const kindFurther = "release-namespace"

// furtherNamespaces returns the further namespaces of p that do not exist, sorted. It is an
// *OwnedError if one of them belongs to another environment. A namespace that may not be
// looked at is assumed to exist.
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
	client := d.cluster.Typed.CoreV1().Namespaces()
	found, err := client.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return true, nil
	case apierrors.IsNotFound(err) && plan.Reserved(name):
		return false, fmt.Errorf("namespace %s does not exist, and Kubernetes reserves namespaces that begin with kube- for itself", name)
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at namespace %s: %w", name, d.explain(ctx, err))
	case found.DeletionTimestamp != nil:
		return false, d.gone(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"), "", name)
	}
	if owner := runtime.OwnerOf(found.Labels); owner != key.Owner() && owner != (runtime.EnvironmentKey{}) {
		return false, &runtime.OwnedError{Key: key.At(name), Kind: "namespace", Owner: owner, Service: service}
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
	_, err = client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return d.furtherNamespace(ctx, name, key, service)
	case err != nil && !apierrors.IsForbidden(err):
		return false, fmt.Errorf("note that namespace %s has two users: %w", name, d.explain(ctx, err))
	}
	return true, nil
}

// createNamespace creates a further namespace. If something else creates it meanwhile, it
// is not ours.
func (d *Deployer) createNamespace(ctx context.Context, name string, key runtime.EnvironmentKey) error {
	labels := labelsOf(kindFurther, runtime.EnvironmentKey{})
	_, err := d.cluster.Typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: labels, Annotations: map[string]string{observe.AnnotationMadeFor: observe.MadeFor(key)},
	}}, metav1.CreateOptions{FieldManager: fieldManager})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return d.notCreated(ctx, name, err)
}

// notCreated explains why a namespace was not created.
func (d *Deployer) notCreated(ctx context.Context, name string, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("namespace %s does not exist, and may not be created; have it created by who administers the cluster: %w", name, err)
	}
	return fmt.Errorf("create namespace %s: %w", name, d.explain(ctx, err))
}

// removeFurther removes what the releases of key have left in a further namespace, which
// is that of key, and the namespace if it was created for key and has nothing else in it.
func (d *Deployer) removeFurther(ctx context.Context, key runtime.EnvironmentKey, keepVolumes bool, emit runtime.Emit) error {
	name, warn := key.Namespace(), warningsOf(emit)
	why := "pipe did not make it, or others use it"
	found, err := d.cluster.Typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		found, why = &corev1.Namespace{}, "you may not read it, so pipe cannot see who made it"
	case err != nil:
		return d.explain(ctx, err)
	}
	ours := found.Labels[labelKind] == kindFurther && found.Annotations[observe.AnnotationMadeFor] == observe.MadeFor(key)
	switch {
	case found.DeletionTimestamp != nil && ours:
		return d.namespaceGone(ctx, name, emit)
	case found.DeletionTimestamp != nil:
		return nil
	}
	if !keepVolumes {
		// Volumes of nobody are those of others.
		if _, err := d.removeVolumes(ctx, key); err != nil {
			return err
		}
	}
	if ours {
		if why, err = d.keepsFurther(ctx, found, key, keepVolumes); err != nil {
			return err
		}
	}
	if why == "" {
		d.podsGone(ctx, name)
		why, err = d.deleteNamespace(ctx, found, emit)
		if apierrors.IsConflict(err) {
			return d.removeFurther(ctx, key, keepVolumes, emit)
		}
		if err != nil || why == "" {
			return err
		}
	}
	warn("namespace %s is kept: %s", name, why)
	return nil
}

// keepsFurther returns why a namespace that was created for key must be kept, or "". What
// has no owner may be somebody else's, whatever its labels say: this namespace is shared.
func (d *Deployer) keepsFurther(ctx context.Context, n *corev1.Namespace, key runtime.EnvironmentKey, keepVolumes bool) (string, error) {
	if owner := runtime.OwnerOf(n.Labels); owner != (runtime.EnvironmentKey{}) {
		return fmt.Sprintf("it belongs to %v", owner), nil
	}
	if keepVolumes {
		claims, err := d.cluster.Typed.CoreV1().PersistentVolumeClaims(n.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("list volumes: %w", d.explain(ctx, err))
		}
		if len(claims.Items) > 0 {
			return "its volumes are to be kept", nil
		}
	}
	return d.others(ctx, key, func(string) bool { return false })
}
