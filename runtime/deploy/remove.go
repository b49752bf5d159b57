package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// Remove implements [runtime.Deployer].
func (d *Deployer) Remove(ctx context.Context, key runtime.EnvironmentKey, further []string, keepVolumes bool, emit runtime.Emit) error {
	var all []removal
	for _, namespace := range further {
		all = append(all, removal{d, key.At(namespace), true, keepVolumes, emit})
	}
	for _, r := range append(all, removal{d, key, false, keepVolumes, emit}) {
		if err := d.retry(ctx, emit, "remove namespace "+r.key.Namespace(), func() error { return r.run(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// A removal removes what the releases of an environment have left in one of its namespaces,
// and the namespace, if it was created for the environment and has nothing else in it.
type removal struct {
	*Deployer
	key         runtime.EnvironmentKey // in the namespace
	further     bool                   // the namespace is not the home of the environment: others may use it
	keepVolumes bool
	emit        runtime.Emit
}

func (r removal) run(ctx context.Context) error {
	name := r.key.Namespace()
	found, err := r.cluster.Typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	why, data := "", false
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err) && r.further:
		why = "you may not read it, so pipe cannot see who made it"
	case apierrors.IsForbidden(err):
		why = fmt.Sprintf("it may not be looked at (%v)", err)
	case err != nil:
		return r.explain(ctx, err)
	case found.DeletionTimestamp != nil && r.further && !r.created(found):
		return nil
	case found.DeletionTimestamp != nil:
		return r.namespaceGone(ctx, name, r.emit)
	default:
		if why, data, err = r.keeps(ctx, found); err != nil {
			return err
		}
	}
	if why == "" {
		// While a pod has not ended, the cluster retries the deletion of the namespace only
		// after a long delay.
		r.podsGone(ctx, name)
		if _, err := r.removeVolumes(ctx, r.key); err != nil {
			return err
		}
		why, err = r.deleteNamespace(ctx, found, r.emit)
		if apierrors.IsConflict(err) {
			return r.run(ctx)
		}
		if err != nil || why == "" {
			return err
		}
	}
	if err := r.removeObjects(ctx); err != nil {
		return err
	}
	if !r.further && !data {
		if err := r.disown(ctx, name, r.key); err != nil {
			return err
		}
	}
	r.warn("namespace %s is kept: %s", name, why)
	return nil
}

// created reports whether pipe created the namespace for the environment.
func (r removal) created(n *corev1.Namespace) bool {
	if r.further {
		return n.Labels[labelKind] == kindFurther && n.Annotations[observe.AnnotationMadeFor] == observe.MadeFor(r.key)
	}
	return n.Labels[labelKind] == kindNamespace && n.Labels[labelManagedBy] == managedBy
}

// keeps returns why the namespace must be kept, or "" if it can be deleted, and whether it has
// volumes of the environment that must be kept.
func (r removal) keeps(ctx context.Context, n *corev1.Namespace) (why string, data bool, err error) {
	owner := runtime.OwnerOf(n.Labels)
	switch {
	case r.further && !r.created(n):
		return "pipe did not make it, or others use it", false, nil
	case owner != r.key.Owner() && owner != (runtime.EnvironmentKey{}):
		why = fmt.Sprintf("it belongs to %v", owner)
	case !r.created(n):
		why = "pipe did not make it"
	}
	if r.keepVolumes {
		if data, err = r.hasVolumes(ctx); err != nil {
			return "", false, err
		}
	}
	switch {
	case why != "":
		return why, data, nil
	case data:
		return "its volumes are to be kept", true, nil
	case r.further:
		// What has no owner may be somebody else's, whatever its labels say: this namespace is
		// shared.
		why, err = r.whyForeign(ctx, r.key, func(string) bool { return false })
		return why, false, err
	}
	releases, err := r.deployed(ctx, n.Name)
	if err != nil {
		return "", false, err
	}
	why, err = r.whyForeign(ctx, r.key, func(release string) bool {
		_, exists := releases[release]
		return !exists
	})
	return why, false, err
}

// hasVolumes reports whether the namespace has volumes of the environment, or without an owner.
func (r removal) hasVolumes(ctx context.Context) (bool, error) {
	claims, err := r.cluster.Typed.CoreV1().PersistentVolumeClaims(r.key.Namespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("list volumes: %w", r.explain(ctx, err))
	}
	return slices.ContainsFunc(claims.Items, func(c corev1.PersistentVolumeClaim) bool {
		owner := runtime.OwnerOf(c.Labels)
		return owner == r.key.Owner() || owner == (runtime.EnvironmentKey{})
	}), nil
}

// deleteNamespace deletes a namespace and waits until it is gone. If the user may not delete
// it, why says so. The error is a conflict if the namespace has changed since it was read:
// another environment may have labelled it, and own it now.
func (d *Deployer) deleteNamespace(ctx context.Context, found *corev1.Namespace, emit runtime.Emit) (why string, err error) {
	only := &metav1.Preconditions{UID: &found.UID, ResourceVersion: &found.ResourceVersion}
	err = d.cluster.Typed.CoreV1().Namespaces().Delete(ctx, found.Name, metav1.DeleteOptions{Preconditions: only})
	switch {
	case apierrors.IsConflict(err):
		return "", err
	case err == nil, apierrors.IsNotFound(err):
		return "", d.namespaceGone(ctx, found.Name, emit)
	case !apierrors.IsForbidden(err):
		return "", d.explain(ctx, err)
	}
	return fmt.Sprintf("it may not be deleted (%v)", err), nil
}

// removeObjects deletes the objects of the environment in a namespace that is kept: the
// volumes that its releases have left and, in its home, the Secrets that Prepare created. If
// volumes are kept, the credentials of their databases are kept, too. So are those of a
// database whose release still exists, as another environment has deployed it.
func (r removal) removeObjects(ctx context.Context) error {
	namespace, kinds := r.key.Namespace(), []string{kindSecret, kindKey}
	if !r.keepVolumes {
		kinds = append(kinds, kindCredentials)
		left, err := r.removeVolumes(ctx, r.key)
		if err != nil {
			return err
		}
		if len(left) > 0 && !r.further { // in a further namespace they are those of others
			r.warn("volumes in namespace %s are kept, as nobody noted whose they are: %s; to delete them, with ALL their data: kubectl --namespace %s delete persistentvolumeclaim %s",
				namespace, strings.Join(left, ", "), namespace, strings.Join(left, " "))
		}
	}
	if r.further {
		return nil
	}
	releases, err := r.deployed(ctx, namespace)
	if err != nil {
		return err
	}
	secrets := r.cluster.Typed.CoreV1().Secrets(namespace)
	list, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: fmt.Sprintf("%s=%s,%s in (%s),%s",
		labelManagedBy, managedBy, labelKind, strings.Join(kinds, ","), labels.SelectorFromSet(r.key.Labels()))})
	if err != nil {
		return fmt.Errorf("list secrets: %w", r.explain(ctx, err))
	}
	used := make(map[string]bool)
	for name := range releases {
		used[plan.CredentialsName(name)] = true
	}
	for _, s := range list.Items {
		if s.Labels[labelKind] == kindCredentials && used[s.Name] {
			continue
		}
		if err := secrets.Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete secret %s: %w", s.Name, r.explain(ctx, err))
		}
	}
	return nil
}

func (r removal) warn(format string, args ...any) {
	r.emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Message: fmt.Sprintf(format, args...)}})
}
