package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A release takes over (SPEC E8) what exists in these steps:
//
//  1. Check asks the server for the result of each patch, in a dry run, and reports it.
//  2. The revision is recorded, with a label that says that it takes over what exists.
//  3. Each object is patched, with one request that also sets Helm's marks of ownership.
//
// A process that dies after step 2 leaves a pending revision with that label, so that the
// next one completes the adoption, whether it is asked to adopt or not.

// labelAdopts is the number of the revision that takes over what exists.
const labelAdopts = "pipelinefile.github.io/adopts"

// lastApplied is where kubectl stores the configuration that it has applied.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// adopting reports whether the operation takes over what exists: it is asked to, or
// completes one that was.
func (o *operation) adopting() bool {
	if o.r.Adopt {
		return true
	}
	last, ok := o.last()
	return ok && !last.Ready() && last.Labels[labelAdopts] == strconv.Itoa(last.Version)
}

// takesRelease reports whether the operation continues a release of another tool.
func (o *operation) takesRelease() bool {
	last, ok := o.last()
	owner, err := o.records.owner()
	return ok && o.adopting() && err == nil && owner == (runtime.EnvironmentKey{}) && last.Fingerprint() == ""
}

// A busyError means that a release cannot be taken over because its last revision is
// pending: another tool writes it, or has died.
type busyError struct{ namespace, release, status string }

func (e *busyError) Error() string {
	return fmt.Sprintf("release %s is %s: another tool writes it, or was interrupted; if nothing writes it any more: helm --namespace %s rollback %s", e.release, e.status, e.namespace, e.release)
}

// idle returns an error if another tool may be writing the release that is taken over.
func (o *operation) idle() error {
	if last, _ := o.last(); o.takesRelease() && statusOf(last).IsPending() {
		return &busyError{o.r.Namespace, o.r.Service.Name, last.Status}
	}
	return nil
}

// adopter decides which objects a release takes over.
type adopter struct {
	cluster *observe.Cluster
	owner   runtime.EnvironmentKey // of the release

	mu     sync.Mutex
	owners map[[2]string]runtime.EnvironmentKey // of releases, by namespace and name
}

// whose returns whose an object is that the release would take over, such as "release
// mastodon", and whether it can: the object has no controller, and does not belong to an
// environment.
func (a *adopter) whose(ctx context.Context, live *unstructured.Unstructured, namespace string) (from string, free bool, err error) {
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

// takes returns whose the object is that the release takes over, or an error if it cannot.
func (o *objects) takes(ctx context.Context, info *resource.Info, live *unstructured.Unstructured) (from string, err error) {
	if o.adopter != nil {
		from, free, err := o.adopter.whose(ctx, live, o.namespace)
		if err != nil || free {
			return from, err
		}
	}
	return "", &runtime.RefusedError{Release: o.release, Changes: []runtime.RefusedChange{o.conflict(info, live)}}
}

// baseOf returns the object with which a target is compared to find out what to remove of
// an object that is taken over: what kubectl has applied. Without that, nothing is removed.
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

// UpdateThreeWayMerge implements [kube.InterfaceThreeWayMerge], which Helm uses if a release
// takes over what exists.
func (o *objects) UpdateThreeWayMerge(original, target kube.ResourceList, force bool) (*kube.Result, error) {
	return o.Update(original, target, force)
}

var _ kube.InterfaceThreeWayMerge = (*objects)(nil)

// adoption describes what becomes of an object that is taken over.
func adoption(info *resource.Info, from string, live *unstructured.Unstructured, result kruntime.Object) (runtime.Adoption, error) {
	a := runtime.Adoption{ObjectKind: info.Mapping.GroupVersionKind.Kind, Namespace: info.Namespace, Name: info.Name, From: from}
	after, ok := result.(*unstructured.Unstructured)
	if !ok {
		return a, nil
	}
	was, will := bare(live), bare(after)
	if workloadKind(info) != "" {
		a.Restarts = !reflect.DeepEqual(field(was, "spec", "template"), field(will, "spec", "template"))
	}
	if reflect.DeepEqual(was, will) {
		return a, nil
	}
	if a.ObjectKind == "Secret" {
		hideValues(was, will)
	}
	before, err := text(was)
	if err != nil {
		return a, err
	}
	later, err := text(will)
	a.Diff = observe.Clip(inspect.Lines(before, later), maxDiff)
	return a, err
}

// maxDiff limits what is shown of the change of one object, in bytes.
const maxDiff = 16 << 10

func field(object map[string]any, path ...string) any {
	value, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	return value
}

// bare returns a copy of an object without what the server sets, and without what only
// says whose the object is.
func bare(u *unstructured.Unstructured) map[string]any {
	u = u.DeepCopy()
	for _, name := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"} {
		unstructured.RemoveNestedField(u.Object, "metadata", name)
	}
	delete(u.Object, "status")
	annotations, labels := u.GetAnnotations(), u.GetLabels()
	for _, name := range []string{observe.AnnotationRelease, annotationReleaseNamespace, lastApplied} {
		delete(annotations, name)
	}
	delete(labels, labelManagedBy)
	setOrRemove(u.Object, annotations, "annotations")
	setOrRemove(u.Object, labels, "labels")
	return u.Object
}

func setOrRemove(object map[string]any, values map[string]string, name string) {
	if len(values) == 0 {
		unstructured.RemoveNestedField(object, "metadata", name)
		return
	}
	all := make(map[string]any, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		all[key] = values[key]
	}
	_ = unstructured.SetNestedMap(object, all, "metadata", name) // the metadata is a map
}

// free returns an error, before Helm records the revision, if it has an object that cannot
// be taken over: Helm takes over all of them.
func (o *operation) free(ctx context.Context) error {
	if o.objects.adopter == nil {
		return nil
	}
	before, err := o.before()
	if err != nil {
		return err
	}
	foreign, err := o.foreign(ctx, before)
	if foreign != nil {
		return foreign
	}
	return err
}

// refusedOf returns the changes of a RefusedError, if err is one.
func refusedOf(err error) []runtime.RefusedChange {
	var refused *runtime.RefusedError
	if errors.As(err, &refused) {
		return refused.Changes
	}
	return nil
}
