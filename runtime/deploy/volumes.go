package deploy

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
)

// The volumes of a release stay when it is deleted, and are deleted with its environment
// (SPEC D6). Then only their labels say whose they were.

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

// labelVolumes labels the volumes of a release with its environment before the release is
// deleted: afterwards their owner cannot be found out.
func (o *operation) labelVolumes() error {
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
