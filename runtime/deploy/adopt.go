package deploy

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A release adopts (SPEC E8) what exists in these steps:
//
//  1. Check asks the server for the result of each patch, in a dry run, and reports it.
//  2. The revision is recorded, with a label that says that it adopts what exists.
//  3. Each object is patched, with one request that also sets Helm's marks of ownership.
//
// A process that dies after step 2 leaves a pending revision with that label, so that the
// next one completes the adoption, whether it is asked to adopt or not.

// labelAdopts is the number of the revision that adopts what exists.
const labelAdopts = "pipelinefile.github.io/adopts"

// lastApplied is where kubectl stores the configuration that it has applied.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// adopting reports whether the operation adopts what exists: it is asked to, or
// completes one that was.
func (o *operation) adopting() bool {
	if o.r.Adopt {
		return true
	}
	last, ok := o.last()
	return ok && !last.Ready() && last.Labels[labelAdopts] == strconv.Itoa(last.Version)
}

// adoptsRelease reports whether the operation continues a release of another tool.
func (o *operation) adoptsRelease() bool {
	last, ok := o.last()
	owner, err := o.records.owner()
	return ok && o.adopting() && err == nil && owner == (runtime.EnvironmentKey{}) && last.Fingerprint() == ""
}

// A busyError means that a release cannot be adopted because its last revision is
// pending: another tool writes it, or has died.
type busyError struct{ namespace, release, status string }

func (e *busyError) Error() string {
	return fmt.Sprintf("release %s is %s: another tool writes it, or was interrupted; if nothing writes it any more: helm --namespace %s rollback %s", e.release, e.status, e.namespace, e.release)
}

// idle returns an error if another tool may be writing the release that is adopted.
func (o *operation) idle() error {
	if last, _ := o.last(); o.adoptsRelease() && statusOf(last).IsPending() {
		return &busyError{o.r.Namespace, o.r.Service.Name, last.Status}
	}
	return nil
}

// adoption describes what becomes of an object that is adopted.
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
// be adopted: Helm adopts all of them.
func (o *operation) free(ctx context.Context) error {
	if o.objects.adopter == nil {
		return nil
	}
	before, err := o.before()
	if err != nil {
		return err
	}
	conflicts, err := o.conflicts(ctx, before)
	if conflicts != nil {
		return conflicts
	}
	return err
}
