package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// An object of a release may exist already. Whether the release writes it then is decided
// here, for the check and for the write: it is the release's own, it is adopted (SPEC E8), or
// the release is refused (SPEC D8). The objects of hooks, which Helm does not mark, have their
// own rule; see hooks.go.

const (
	annotationReleaseNamespace = "meta.helm.sh/release-namespace"
	managedByHelm              = "Helm"
)

// An ownership is the relation of an existing object to the release that has an object of
// that name.
type ownership int

const (
	owned     ownership = iota // it belongs to the release
	adoptable                  // it belongs to no environment, and the release takes it over
	foreign                    // the release must not write it
)

// A decision says what a release does with an existing object.
type decision struct {
	ownership
	// base is the object as it was written last: what base has and the new object does not
	// have is removed.
	base    *resource.Info
	from    string                 // whose an adoptable object is, such as "release mastodon"
	refused *runtime.RefusedChange // why the release cannot have a foreign object
}

// decide decides what the release does with live, which has the name of info. before is the
// object of that name in the last revision, or nil.
func (o *objects) decide(ctx context.Context, before, info *resource.Info, live *unstructured.Unstructured) (decision, error) {
	known := before != nil && before.Object != info.Object // Helm passes what it adopts as it is to become
	if !known {
		before = info // as Helm does
	}
	switch {
	case o.isMarked(live) && known && o.adopter != nil && o.adopter.release:
		return decision{ownership: adoptable, base: before, from: "release " + o.release}, nil
	case o.isMarked(live), known && o.adopter == nil:
		return decision{base: before}, nil
	case o.adopter == nil:
		return o.refuse(info, live), nil
	}
	from, free, err := o.adopter.origin(ctx, live, o.namespace)
	switch {
	case err != nil:
		return decision{}, err
	case !free:
		return o.refuse(info, live), nil
	case !known:
		before = baseOf(info, live)
	}
	return decision{ownership: adoptable, base: before, from: from}, nil
}

func (o *objects) refuse(info *resource.Info, live *unstructured.Unstructured) decision {
	change := o.conflict(info, live)
	return decision{ownership: foreign, refused: &change}
}

// isMarked reports whether an object has the marks with which Helm says that it belongs to the
// release.
func (o *objects) isMarked(live *unstructured.Unstructured) bool {
	annotations := live.GetAnnotations()
	return live.GetLabels()[labelManagedBy] == managedByHelm &&
		annotations[observe.AnnotationRelease] == o.release && annotations[annotationReleaseNamespace] == o.namespace
}

// markOwned marks an object as the release's, as Helm does with objects other than
// hooks.
func (o *objects) markOwned(u *unstructured.Unstructured) {
	annotations, labels := u.GetAnnotations(), u.GetLabels()
	if annotations == nil {
		annotations = make(map[string]string)
	}
	if labels == nil {
		labels = make(map[string]string)
	}
	annotations[observe.AnnotationRelease], annotations[annotationReleaseNamespace] = o.release, o.namespace
	labels[labelManagedBy] = cmp.Or(labels[labelManagedBy], managedByHelm)
	u.SetAnnotations(annotations)
	u.SetLabels(labels)
}

// An adopter finds out whose the objects are that a release adopts.
type adopter struct {
	cluster *observe.Cluster
	owner   runtime.EnvironmentKey // of the release
	release bool                   // the last revision is of another tool, and so are its objects

	mu     sync.Mutex
	owners map[[2]string]runtime.EnvironmentKey // of releases, by namespace and name
}

// origin returns whose an object is, such as "release mastodon", and whether the release can
// adopt it: the object has no controller, and does not belong to an environment.
func (a *adopter) origin(ctx context.Context, live *unstructured.Unstructured, namespace string) (from string, free bool, err error) {
	from = ownerOf(live, namespace)
	if live.GetAnnotations()[observe.AnnotationRelease] == "" {
		from = cmp.Or(makerOf(live), from)
	}
	labels, annotations := live.GetLabels(), live.GetAnnotations()
	if metav1.GetControllerOfNoCopy(live) != nil || labels[labelManagedBy] == managedBy || live.GetDeletionTimestamp() != nil {
		return from, false, nil
	}
	if owner := runtime.OwnerOf(labels); owner != (runtime.EnvironmentKey{}) && owner != a.owner {
		return from, false, nil
	}
	name, in := annotations[observe.AnnotationRelease], annotations[annotationReleaseNamespace]
	if name == "" || in == "" {
		return from, true, nil
	}
	owner, err := a.ownerOfRelease(ctx, in, name)
	if apierrors.IsForbidden(err) {
		return from, false, nil
	}
	return from, owner == (runtime.EnvironmentKey{}), err
}

// makerOf returns the tool that has made an object, such as "kubectl", or "".
func makerOf(live *unstructured.Unstructured) string {
	if live.GetAnnotations()[lastApplied] != "" {
		return "kubectl"
	}
	var first metav1.ManagedFieldsEntry
	for _, entry := range live.GetManagedFields() {
		if entry.Time != nil && (first.Time == nil || entry.Time.Before(first.Time)) {
			first = entry
		}
	}
	return first.Manager
}

// ownerOfRelease returns the environment that a release belongs to.
func (a *adopter) ownerOfRelease(ctx context.Context, namespace, name string) (runtime.EnvironmentKey, error) {
	key := [2]string{namespace, name}
	a.mu.Lock()
	defer a.mu.Unlock()
	if owner, known := a.owners[key]; known {
		return owner, nil
	}
	all, _, err := a.cluster.Revisions(ctx, namespace, "owner=helm,name="+name, "")
	if err != nil {
		return runtime.EnvironmentKey{}, err
	}
	owners, err := a.cluster.OwnersOf(ctx, namespace, all)
	if err != nil {
		return runtime.EnvironmentKey{}, err
	}
	if a.owners == nil {
		a.owners = make(map[[2]string]runtime.EnvironmentKey)
	}
	a.owners[key] = owners[name]
	return owners[name], nil
}

// baseOf returns the object with which a target is compared to find out what to remove of
// an object that is adopted: what kubectl has applied. Without that, nothing is removed.
func baseOf(info *resource.Info, live *unstructured.Unstructured) *resource.Info {
	text := live.GetAnnotations()[lastApplied]
	if text == "" || info.Mapping.GroupVersionKind.Kind == "PersistentVolumeClaim" { // what a claim has stays
		return info
	}
	applied := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &applied.Object); err != nil || applied.GroupVersionKind() != info.Mapping.GroupVersionKind {
		return info
	}
	base := *info
	base.Object = applied
	return &base
}

// ownerOf returns the owner of an object, as far as its metadata says.
func ownerOf(live *unstructured.Unstructured, namespace string) string {
	annotations, labels := live.GetAnnotations(), live.GetLabels()
	if name := annotations[observe.AnnotationRelease]; name != "" {
		if ns := annotations[annotationReleaseNamespace]; ns != "" && ns != namespace {
			return "release " + name + " of namespace " + ns
		}
		return "release " + name
	}
	if owner := metav1.GetControllerOfNoCopy(live); owner != nil {
		return strings.ToLower(owner.Kind) + " " + owner.Name
	}
	if instance := labels[observe.LabelInstance]; instance != "" {
		return instance + " (by its label " + observe.LabelInstance + ")"
	}
	// The oldest entry names the creator.
	if fields := live.GetManagedFields(); len(fields) > 0 && fields[0].Manager != "" {
		return "nobody that it names (it was made with " + fields[0].Manager + ")"
	}
	return "nobody that it names"
}
