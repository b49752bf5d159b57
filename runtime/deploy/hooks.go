package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// Helm writes the objects of hooks without its marks. With the policy
// before-hook-creation it deletes any object of the same name, and with another policy it
// fails if a failed revision or a killed process has left such an object. This package
// marks them like the other objects of a release. It replaces objects that the release has
// left, whatever their policy, and never touches foreign objects (SPEC D7).

// clockSkew is the maximum difference between the clocks of two machines.
const clockSkew = time.Minute

// isHook reports whether an object, as in its chart, is a hook.
func isHook(info *resource.Info) bool {
	u, ok := info.Object.(*unstructured.Unstructured)
	return ok && u.GetAnnotations()[release.HookAnnotation] != ""
}

// createHook creates an object of a hook, marked as the release's. If the
// release left one of that name, it is deleted first.
func (c *helmClient) createHook(info *resource.Info) error {
	if u, ok := info.Object.(*unstructured.Unstructured); ok {
		c.markOwned(u)
	}
	err := c.post(info)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	live, err := c.ownHook(info, false)
	if err != nil {
		return err
	}
	if live == nil {
		return c.post(info)
	}
	if holdsData(info) { // only an explicit policy of the chart may delete these
		patch, kind, err := patchFor(info.Mapping, info.Object, info.Object, live)
		if err != nil {
			return fmt.Errorf("compare %s with what is deployed: %w", shortName(info), err)
		}
		obj, err := c.patch(info, kind, patch)
		if err == nil {
			c.wrote(info, obj)
		}
		return err
	}
	// Foreground deletion: the old and the new one must not run concurrently.
	if err := c.remove(info, justThis(live, metav1.DeletePropagationForeground)); err != nil {
		return err
	}
	if err := c.awaitGone(info); err != nil {
		return err
	}
	return c.post(info)
}

// deleteHook deletes an object of a hook according to its policy, unless it is foreign. An
// object without marks is deleted by the policy alone, as with Helm.
func (c *helmClient) deleteHook(info *resource.Info, policy metav1.DeletionPropagation) error {
	live, err := c.ownHook(info, true)
	if err != nil || live == nil {
		return err
	}
	return c.remove(info, justThis(live, policy))
}

// justThis returns the options to delete this object, and not a new one of the
// same name.
func justThis(live *unstructured.Unstructured, policy metav1.DeletionPropagation) *metav1.DeleteOptions {
	uid := live.GetUID()
	return &metav1.DeleteOptions{PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &uid}}
}

// ownHook returns the existing object with the name of a hook's object; nil if there is none.
// It is an error if the object is foreign. unmarked says whether an object without marks counts
// as the release's.
func (c *helmClient) ownHook(info *resource.Info, unmarked bool) (*unstructured.Unstructured, error) {
	live, err := c.get(info)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", shortName(info), err)
	}
	ours, err := c.isOurs(info, live, unmarked)
	if err != nil || ours {
		return live, err
	}
	return nil, &strangerError{hook: info, owner: ownerOf(live, c.namespace)}
}

// isOurs reports whether an existing object with the name of a hook's object
// belongs to the release. Helm and earlier versions of pipe did not label them:
// then the instance label and the history of the release decide.
func (c *helmClient) isOurs(info *resource.Info, live *unstructured.Unstructured, unmarked bool) (bool, error) {
	annotations := live.GetAnnotations()
	if name := annotations[observe.AnnotationRelease]; name != "" {
		namespace := cmp.Or(annotations[annotationReleaseNamespace], c.namespace)
		return name == c.release && namespace == c.namespace, nil
	}
	if annotations[release.HookAnnotation] == "" || metav1.GetControllerOfNoCopy(live) != nil {
		return false, nil
	}
	switch live.GetLabels()[observe.LabelInstance] {
	case c.release:
		return true, nil
	case "":
	default:
		return false, nil
	}
	if unmarked {
		return true, nil
	}
	return c.o.ran(info, live.GetCreationTimestamp().Time)
}

// ran reports whether an earlier revision of the release ran a hook that
// created an object of that name, which means that the object is not older than
// the hook.
func (o *operation) ran(info *resource.Info, created time.Time) (bool, error) {
	for _, rev := range slices.Backward(o.records.history) {
		rel, err := o.records.full(rev)
		if err != nil {
			return false, err
		}
		for _, h := range rel.Hooks {
			if h.Name != info.Name || h.Kind != info.Mapping.GroupVersionKind.Kind {
				continue
			}
			began := h.LastRun.StartedAt.Time
			if began.IsZero() || !began.Before(o.began) { // it is the current operation
				continue
			}
			if list, err := o.objects.read(strings.NewReader(h.Manifest)); err != nil || !list.Contains(info) {
				continue
			}
			if created.Add(clockSkew).After(began) {
				return true, nil
			}
		}
	}
	return false, nil
}

// holdsData reports whether deleting an object deletes data.
func holdsData(info *resource.Info) bool {
	switch info.Mapping.GroupVersionKind.GroupKind().String() {
	case "PersistentVolumeClaim", "PersistentVolume", "Namespace", crdKind:
		return true
	}
	return false
}

// A strangerError means that a hook's object cannot be created because another
// owner has one of that name.
type strangerError struct {
	hook  *resource.Info
	owner string // such as "release web"
}

func (e *strangerError) Error() string {
	object := e.hook.Mapping.Resource.GroupResource().String() + " " + e.hook.Name
	in, where := "", ""
	if e.hook.Namespaced() {
		in, where = " in namespace "+e.hook.Namespace, " --namespace "+e.hook.Namespace
	}
	return fmt.Sprintf("hook %s: an object of that name exists%s and belongs to %s, so it is not replaced; rename the hook in the chart or, if nobody needs the object, delete it: kubectl%s delete %s (%s)",
		shortName(e.hook), in, e.owner, where, object, lossOf(e.hook))
}

// awaitHook waits for the jobs and pods of a hook to succeed. If one does not,
// it collects the evidence immediately, because Helm may delete the objects
// next.
func (o *operation) awaitHook(ctx context.Context, list kube.ResourceList) error {
	targets, err := o.targets(list)
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return t.kind != "Job" && t.kind != "Pod" })
	for i := range targets {
		targets[i].toEnd = true
	}
	err = o.d.await(ctx, targets, o.limit, o.emit)
	if errors.As(err, &o.hook) {
		o.hook.ofHook, o.hook.evidence = true, o.evidence(o.hook)
	}
	return err
}

// hookFailed notes the error of creating or deleting an object of a hook.
func (o *operation) hookFailed(err error) {
	if o.hook == nil {
		o.hook = &unready{err: err, ofHook: true}
	}
}
