package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/namespaced"
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
	return fmt.Sprintf("pipe did not make all that is in it: %s; to delete all of it, with its data: kubectl delete namespace %s", namespaced.Some(foreign), key.Namespace()), nil
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
	var errs []error
	for _, l := range namespaced.List(ctx, d.cluster.Metadata, key.Namespace(), kinds) {
		switch {
		case apierrors.IsForbidden(l.Err):
			foreign = append(foreign, l.Resource.Resource+", which may not be listed")
		case l.Err != nil && !apierrors.IsNotFound(l.Err) && !apierrors.IsMethodNotSupported(l.Err):
			errs = append(errs, fmt.Errorf("list %s: %w", l.Resource.Resource, d.explain(ctx, l.Err)))
		}
		for i := range l.Objects {
			m := &l.Objects[i]
			release, owner := releaseOf(&m.ObjectMeta), runtime.OwnerOf(m.Labels)
			left := owner == (runtime.EnvironmentKey{}) && release != "" && gone(release)
			if !l.ByCluster(m) && owner != key.Owner() && !left {
				foreign = append(foreign, l.Name(m.Name))
			}
		}
	}
	slices.Sort(foreign)
	return foreign, errors.Join(errs...)
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
