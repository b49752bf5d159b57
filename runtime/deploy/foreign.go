package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// whyForeign says that the namespace of key has objects that pipe did not create for it, or is
// empty. An object without an owner does not count if it belongs to a release of which gone
// reports that it was deleted.
func (d *Deployer) whyForeign(ctx context.Context, key runtime.EnvironmentKey, gone func(release string) bool) (why string, err error) {
	foreign, err := d.foreignObjects(ctx, key, gone)
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

// foreignObjects returns the objects in the namespace of an environment that pipe did not create
// for it and that are not left over from a release that is gone. A kind that pipe may not
// list counts as one of them, as its objects are unknown.
func (d *Deployer) foreignObjects(ctx context.Context, key runtime.EnvironmentKey, gone func(release string) bool) ([]string, error) {
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
