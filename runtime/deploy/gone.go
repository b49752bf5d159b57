package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/namespaced"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A namespace that is being deleted disappears when all of its content is gone.
// Objects with finalizers stay until their controllers release them, which may
// be never. A wait names such objects and their finalizers (SPEC D7): the
// conditions of the namespace report that there are some, and only then all
// kinds are listed.

// A remainingObject is an object that blocks the deletion of a namespace.
type remainingObject struct {
	kind, resource, name string // resource with its group
	finalizers           []string
}

func (r remainingObject) String() string {
	switch len(r.finalizers) {
	case 0:
		return r.kind + " " + r.name
	case 1:
		return fmt.Sprintf("%s %s (finalizer %s)", r.kind, r.name, r.finalizers[0])
	}
	return fmt.Sprintf("%s %s (finalizers %s)", r.kind, r.name, strings.Join(r.finalizers, ", "))
}

// namespaceGone waits until a namespace that is being deleted is gone, and
// reports what is left in it.
func (d *Deployer) namespaceGone(ctx context.Context, name string, emit runtime.Emit) error {
	const what = "namespace %s to be gone"
	emit(runtime.WaitingFor{What: fmt.Sprintf(what, name)})
	reported, looked := "", time.Time{}
	err := d.goneWith(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"), "", name, func(u *unstructured.Unstructured) {
		var n corev1.Namespace
		if err := kruntime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &n); err != nil || !holdsFinalizers(&n) {
			return
		}
		// The conditions change with each object that is deleted.
		if since := time.Since(looked); since < reportEvery {
			return
		}
		looked = time.Now()
		if text := d.remainingIn(ctx, &n).String(); text != "" && text != reported {
			reported = text
			emit(runtime.WaitingFor{What: fmt.Sprintf(what+": it still has %s", name, text)})
		}
	})
	if err == nil || observe.Unreachable(err) {
		return err
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), observe.AnswerTime)
	defer stop()
	n, getErr := d.cluster.Typed.CoreV1().Namespaces().Get(late, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(getErr):
		return nil
	case getErr != nil:
		return err
	}
	left := d.remainingIn(late, n)
	if text := left.String(); text != "" {
		err = fmt.Errorf("%w, and namespace %s still has %s", err, name, text)
	}
	if next := left.next(name); next != "" {
		err = fmt.Errorf("%w; %s", err, next)
	}
	return err
}

// holdsFinalizers reports whether the namespace controller has found objects
// with finalizers.
func holdsFinalizers(n *corev1.Namespace) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NamespaceCondition) bool {
		return c.Type == corev1.NamespaceFinalizersRemaining && c.Status == corev1.ConditionTrue
	})
}

// A remaining describes the remaining content of a namespace that is being
// deleted.
type remaining struct {
	objects []remainingObject // those with finalizers first
	message string            // the cluster's message, if the objects cannot be listed
}

const shownLeft = 5

func (r remaining) String() string {
	var names []string
	for _, o := range r.objects[:min(len(r.objects), shownLeft)] {
		names = append(names, o.String())
	}
	text := strings.Join(names, ", ")
	if more := len(r.objects) - shownLeft; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return cmp.Or(text, r.message)
}

// next returns how to proceed with objects that are not deleted.
func (r remaining) next(namespace string) string {
	if len(r.objects) == 0 || len(r.objects[0].finalizers) == 0 {
		return ""
	}
	first := r.objects[0]
	return fmt.Sprintf("the controller of a finalizer has to take it off; if that controller does not exist any more, so that what it would clean up is left: kubectl --namespace %s patch %s %s --type merge --patch '{\"metadata\":{\"finalizers\":null}}'",
		namespace, first.resource, first.name)
}

// remainingIn returns the remaining content of a namespace. Kinds that cannot be
// listed are omitted; if nothing is found, the conditions of the namespace are
// used.
func (d *Deployer) remainingIn(ctx context.Context, n *corev1.Namespace) remaining {
	var left remaining
	d.cluster.mapper.Reset()        // the discovery data may be outdated
	kinds, _ := d.namespacedKinds() // the conditions report what cannot be discovered
	for _, l := range namespaced.List(ctx, d.cluster.Metadata, n.Name, kinds) {
		for _, m := range l.Objects {
			left.objects = append(left.objects, remainingObject{strings.ToLower(l.Kind.Kind), l.Resource.GroupResource().String(), m.Name, m.Finalizers})
		}
	}
	slices.SortFunc(left.objects, func(a, b remainingObject) int {
		if held := min(len(b.finalizers), 1) - min(len(a.finalizers), 1); held != 0 {
			return held
		}
		return strings.Compare(a.kind+" "+a.name, b.kind+" "+b.name)
	})
	var messages []string
	for _, c := range n.Status.Conditions {
		if c.Status == corev1.ConditionTrue && c.Message != "" {
			messages = append(messages, observe.OneLine(c.Message))
		}
	}
	left.message = strings.Join(messages, "; ")
	return left
}

// goneTime limits the wait until a deleted object is gone. It may take a while to unmount
// volumes and to end pods.
const goneTime = 5 * time.Minute

// namespacedKinds returns the kinds whose objects can be listed and deleted,
// except for those that the cluster itself creates all the time. err names the
// API groups that could not be queried.
func (d *Deployer) namespacedKinds() (kinds []namespaced.Kind, err error) {
	kinds, err = namespaced.Kinds(d.cluster.discovery)
	return slices.DeleteFunc(kinds, func(k namespaced.Kind) bool {
		return k.Resource.Resource == "events" || k.Resource.Resource == "endpoints"
	}), err
}

// goneWith waits until an object that is being deleted is gone. see is called
// whenever it changes before that.
func (d *Deployer) goneWith(ctx context.Context, kind schema.GroupVersionKind, namespace, name string, see func(*unstructured.Unstructured)) error {
	mapping, err := d.cluster.mapping(kind)
	if err != nil {
		return d.explain(ctx, err)
	}
	client, err := d.cluster.clientFor(kind.GroupVersion())
	if err != nil {
		return err
	}
	late := fmt.Errorf("%s %s is still being deleted: %w after %s", strings.ToLower(kind.Kind), name, runtime.ErrTimeout, goneTime)
	ctx, stop := context.WithTimeoutCause(ctx, goneTime, late)
	defer stop()
	return until(ctx, &resource.Info{Client: client, Mapping: mapping, Namespace: namespace, Name: name}, func(u *unstructured.Unstructured) bool {
		if u != nil {
			see(u)
		}
		return u == nil
	})
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
