package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// goneTime limits the wait until a deleted object is gone. It may take a while to unmount
// volumes and to end pods.
const goneTime = 5 * time.Minute

// Remove implements [runtime.Deployer].
func (d *Deployer) Remove(ctx context.Context, key runtime.EnvironmentKey, further []string, keepVolumes bool, emit runtime.Emit) error {
	for _, namespace := range further {
		err := d.retry(ctx, emit, "remove namespace "+namespace, func() error { return d.removeFurther(ctx, key.At(namespace), keepVolumes, emit) })
		if err != nil {
			return err
		}
	}
	return d.retry(ctx, emit, "remove namespace "+key.Namespace(), func() error { return d.remove(ctx, key, keepVolumes, emit) })
}

func (d *Deployer) remove(ctx context.Context, key runtime.EnvironmentKey, keepVolumes bool, emit runtime.Emit) error {
	name, warn := key.Namespace(), warningsOf(emit)
	found, err := d.cluster.Typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		warn("namespace %s is kept: it may not be looked at (%v)", name, err)
		return d.removeOurs(ctx, key, keepVolumes, warn)
	case err != nil:
		return d.explain(ctx, err)
	case found.DeletionTimestamp != nil:
		return d.namespaceGone(ctx, name, emit)
	}
	why, data, err := d.keeps(ctx, found, key, keepVolumes)
	if err != nil {
		return err
	}
	if why == "" {
		// While a pod has not ended, the cluster retries the deletion of the namespace only
		// after a long delay.
		d.podsGone(ctx, name)
		if _, err := d.removeVolumes(ctx, key); err != nil {
			return err
		}
		why, err = d.deleteNamespace(ctx, found, emit)
		if apierrors.IsConflict(err) {
			return d.remove(ctx, key, keepVolumes, emit)
		}
		if err != nil || why == "" {
			return err
		}
	}
	if err := d.removeOurs(ctx, key, keepVolumes, warn); err != nil {
		return err
	}
	if !data {
		if err := d.disown(ctx, name, key); err != nil {
			return err
		}
	}
	warn("namespace %s is kept: %s", name, why)
	return nil
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

func warningsOf(emit runtime.Emit) func(format string, args ...any) {
	return func(format string, args ...any) {
		emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Message: fmt.Sprintf(format, args...)}})
	}
}

// keeps returns why the namespace of an environment must be kept, or "" if it can be
// deleted, and whether it has data of the environment that must be kept.
func (d *Deployer) keeps(ctx context.Context, n *corev1.Namespace, key runtime.EnvironmentKey, keepVolumes bool) (why string, data bool, err error) {
	if keepVolumes {
		claims, err := d.cluster.Typed.CoreV1().PersistentVolumeClaims(n.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", false, fmt.Errorf("list volumes: %w", d.explain(ctx, err))
		}
		data = slices.ContainsFunc(claims.Items, func(c corev1.PersistentVolumeClaim) bool {
			owner := runtime.OwnerOf(c.Labels)
			return owner == key.Owner() || owner == (runtime.EnvironmentKey{})
		})
	}
	owner := runtime.OwnerOf(n.Labels)
	switch {
	case owner != key.Owner() && owner != (runtime.EnvironmentKey{}):
		return fmt.Sprintf("it belongs to %v", owner), data, nil
	case n.Labels[labelManagedBy] != managedBy || n.Labels[labelKind] != kindNamespace:
		return "pipe did not make it", data, nil
	case data:
		return "its volumes are to be kept", true, nil
	}
	releases, err := d.deployed(ctx, n.Name)
	if err != nil {
		return "", false, err
	}
	why, err = d.others(ctx, key, func(release string) bool {
		_, exists := releases[release]
		return !exists
	})
	return why, false, err
}

// others says that the namespace of key has objects that pipe did not create for it, or is
// empty. An object without an owner does not count if it belongs to a release of which gone
// reports that it was deleted.
func (d *Deployer) others(ctx context.Context, key runtime.EnvironmentKey, gone func(release string) bool) (why string, err error) {
	foreign, err := d.foreign(ctx, key, gone)
	if err != nil || len(foreign) == 0 {
		return "", err
	}
	const shown = 5
	text := strings.Join(foreign[:min(len(foreign), shown)], ", ")
	if more := len(foreign) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("pipe did not make all that is in it: %s; to delete all of it, with its data: kubectl delete namespace %s", text, key.Namespace()), nil
}

// foreign returns the objects in the namespace of an environment that pipe did not create
// for it and that are not left over from a release that is gone. A kind that pipe may not
// list counts as one of them, as its objects are unknown.
func (d *Deployer) foreign(ctx context.Context, key runtime.EnvironmentKey, gone func(release string) bool) ([]string, error) {
	kinds, err := d.namespacedKinds()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, d.explain(ctx, err)
	}
	var foreign []string
	if err != nil {
		foreign = append(foreign, fmt.Sprintf("what cannot be asked for (%v)", err))
	}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs []error
	)
	for _, kind := range kinds {
		wg.Go(func() {
			names, err := d.foreignOf(ctx, key, kind.resource, gone)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case apierrors.IsForbidden(err):
				foreign = append(foreign, kind.resource.Resource+", which may not be listed")
			case err != nil && !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err):
				errs = append(errs, fmt.Errorf("list %s: %w", kind.resource.Resource, d.explain(ctx, err)))
			}
			for _, name := range names {
				foreign = append(foreign, strings.ToLower(kind.kind)+" "+name)
			}
		})
	}
	wg.Wait()
	slices.Sort(foreign)
	return foreign, errors.Join(errs...)
}

func (d *Deployer) foreignOf(ctx context.Context, key runtime.EnvironmentKey, kind schema.GroupVersionResource, gone func(release string) bool) ([]string, error) {
	list, err := d.cluster.Metadata.Resource(kind).Namespace(key.Namespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range list.Items {
		release := releaseOf(&m.ObjectMeta)
		owner := runtime.OwnerOf(m.Labels)
		switch {
		case len(m.OwnerReferences) > 0, m.DeletionTimestamp != nil, owner == key.Owner():
		case owner == (runtime.EnvironmentKey{}) && release != "" && gone(release):
		case kind.Resource == "configmaps" && m.Name == "kube-root-ca.crt":
		case kind.Resource == "serviceaccounts" && m.Name == "default":
		case kind.Resource == "secrets" && m.Annotations[corev1.ServiceAccountNameKey] != "":
		default:
			names = append(names, m.Name)
		}
	}
	return names, nil
}

// releaseOf returns the release that an object belongs to, or was created for, such as
// the volumes of a StatefulSet and the objects of hooks; or "".
func releaseOf(m *metav1.ObjectMeta) string {
	if name := m.Annotations[observe.AnnotationRelease]; name != "" {
		return name
	}
	if m.Labels["owner"] == "helm" {
		return m.Labels["name"]
	}
	return m.Labels[observe.LabelInstance]
}

// removeOurs deletes the objects of an environment in a namespace that is kept: the
// Secrets that Prepare created, and the volumes that its releases have left. If volumes
// are kept, the credentials of their databases are kept, too. So are those of a database
// whose release still exists, as another environment has deployed it.
func (d *Deployer) removeOurs(ctx context.Context, key runtime.EnvironmentKey, keepVolumes bool, warn func(string, ...any)) error {
	namespace := key.Namespace()
	releases, err := d.deployed(ctx, namespace)
	if err != nil {
		return err
	}
	kinds := []string{kindSecret, kindKey}
	if !keepVolumes {
		kinds = append(kinds, kindCredentials)
		left, err := d.removeVolumes(ctx, key)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			warn("volumes in namespace %s are kept, as nobody noted whose they are: %s; to delete them, with ALL their data: kubectl --namespace %s delete persistentvolumeclaim %s",
				namespace, strings.Join(left, ", "), namespace, strings.Join(left, " "))
		}
	}
	secrets := d.cluster.Typed.CoreV1().Secrets(namespace)
	list, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: fmt.Sprintf("%s=%s,%s in (%s),%s",
		labelManagedBy, managedBy, labelKind, strings.Join(kinds, ","), labels.SelectorFromSet(key.Labels()))})
	if err != nil {
		return fmt.Errorf("list secrets: %w", d.explain(ctx, err))
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
			return fmt.Errorf("delete secret %s: %w", s.Name, d.explain(ctx, err))
		}
	}
	return nil
}

// removeVolumes deletes the volumes that releases of an environment have left, and waits
// until they are gone. It returns the volumes whose owner is not recorded: they are
// deleted only together with a namespace that pipe created.
func (d *Deployer) removeVolumes(ctx context.Context, key runtime.EnvironmentKey) (unknown []string, err error) {
	namespace := key.Namespace()
	releases, err := d.deployed(ctx, namespace)
	if err != nil {
		return nil, err
	}
	claims := d.cluster.Typed.CoreV1().PersistentVolumeClaims(namespace)
	list, err := claims.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", d.explain(ctx, err))
	}
	var deleted []string
	for i := range list.Items {
		m := &list.Items[i].ObjectMeta
		release := releaseOf(m)
		if _, exists := releases[release]; (release == "" || exists) && m.Labels[labelKind] != kindDisk {
			continue
		}
		switch runtime.OwnerOf(m.Labels) {
		case key.Owner():
		case runtime.EnvironmentKey{}:
			unknown = append(unknown, m.Name)
			continue
		default:
			continue
		}
		if err := claims.Delete(ctx, m.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &m.UID}}); err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("delete volume %s: %w", m.Name, d.explain(ctx, err))
		}
		deleted = append(deleted, m.Name)
	}
	for _, name := range deleted {
		if err := d.gone(ctx, corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"), namespace, name); err != nil {
			return nil, err
		}
	}
	return unknown, nil
}

// ownVolumes labels the volumes of a release with its environment before the release is
// deleted: afterwards their owner cannot be found out.
func (o *operation) ownVolumes() error {
	ctx := o.objects.requests()
	claims := o.d.cluster.Metadata.Resource(corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")).Namespace(o.r.Namespace)
	list, err := claims.List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil // then they cannot be deleted either
	}
	if err != nil {
		return fmt.Errorf("list volumes: %w", err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": keyOf(o.r).Labels()}})
	if err != nil {
		return err
	}
	for i := range list.Items {
		m := &list.Items[i].ObjectMeta
		if releaseOf(m) != o.r.Service.Name || runtime.OwnerOf(m.Labels) != (runtime.EnvironmentKey{}) {
			continue
		}
		if _, err := claims.Patch(ctx, m.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("note whose volume %s is: %w", m.Name, err)
		}
	}
	return nil
}

// podsGone waits until the pods of deleted releases have ended. Pods that take longer, or
// that cannot be listed, are deleted with the namespace.
func (d *Deployer) podsGone(ctx context.Context, namespace string) {
	ctx, stop := context.WithTimeout(ctx, podTime)
	defer stop()
	list, err := d.cluster.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, p := range list.Items {
		if d.gone(ctx, corev1.SchemeGroupVersion.WithKind("Pod"), namespace, p.Name) != nil {
			return
		}
	}
}

// podTime is the default grace period of a pod.
const podTime = 30 * time.Second

// gone waits until an object that is being deleted is gone.
func (d *Deployer) gone(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) error {
	return d.goneWith(ctx, kind, namespace, name, func(*unstructured.Unstructured) {})
}
