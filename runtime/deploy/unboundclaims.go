package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// The scheduler reports only that a pod has unbound claims. Which claims, and
// why, is in the claims, their events and their storage classes. These are
// watched and queried once a pod cannot be scheduled, and not before (SPEC D7).

// noProvisioner is the provisioner of classes whose volumes are created
// manually.
const noProvisioner = "kubernetes.io/no-provisioner"

// claimsOf returns the names of the claims that a pod uses.
func claimsOf(p *corev1.Pod) []string {
	var names []string
	for _, v := range p.Spec.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, p.Name+"-"+v.Name)
		}
	}
	return names
}

// unbound returns the unbound claims of a pod without a node. final means that
// a claim was deleted, so that the pod can never be scheduled.
func (w *wait) unbound(v *observe.Cache, p *corev1.Pod) (open []runtime.UnboundClaim, final bool) {
	names := claimsOf(p)
	if len(names) == 0 {
		return nil, false
	}
	w.watch(p.Namespace, observe.Claims, observe.ClaimEvents)
	owner := metav1.GetControllerOfNoCopy(p)
	for _, name := range names {
		claim := observe.Object[corev1.PersistentVolumeClaim](v, observe.Claims, p.Namespace, name)
		switch {
		case claim == nil:
			if v.Lost(p.Namespace, name) { // a StatefulSet recreates its claims
				open = append(open, runtime.UnboundClaim{Name: name, Why: "it was deleted"})
				final = final || owner == nil || owner.Kind != "StatefulSet"
			}
		case claim.DeletionTimestamp != nil:
			open = append(open, runtime.UnboundClaim{Name: name, Class: className(claim), Why: "it is being deleted"})
		case claim.Status.Phase == corev1.ClaimLost:
			open = append(open, runtime.UnboundClaim{Name: name, Class: className(claim), Why: "its volume " + claim.Spec.VolumeName + " does not exist any more"})
		case claim.Status.Phase != corev1.ClaimBound:
			if why := w.whyUnbound(v, claim); why != "" {
				open = append(open, runtime.UnboundClaim{Name: name, Class: className(claim), Why: why})
			}
		}
	}
	return open, final
}

func className(c *corev1.PersistentVolumeClaim) string {
	if c.Spec.StorageClassName == nil {
		return ""
	}
	return *c.Spec.StorageClassName
}

// whyUnbound says why a claim has no volume; "" if it only waits for its pod to
// be scheduled.
func (w *wait) whyUnbound(v *observe.Cache, c *corev1.PersistentVolumeClaim) string {
	if c.Spec.VolumeName != "" {
		return "it waits for volume " + c.Spec.VolumeName
	}
	failed := lastWarning(v, c)
	name := className(c)
	switch {
	case c.Spec.StorageClassName == nil:
		return "it names no storage class, and the cluster has no default one"
	case name == "":
		return "it asks for a volume without a storage class, and none that fits is free"
	}
	class, err := w.classOf(name)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("its storage class %s does not exist", name)
	case err != nil: // no permission to read it
		return cmp.Or(failed, fmt.Sprintf("storage class %s has no volume for it yet", name))
	case class.Provisioner == noProvisioner && bindsLate(class):
		return "" // the scheduler chooses its volume with the node
	case class.Provisioner == noProvisioner:
		return fmt.Sprintf("nothing makes volumes of storage class %s, and none that fits is free", name)
	case failed != "":
		return failed
	case bindsLate(class) && c.Annotations["volume.kubernetes.io/selected-node"] == "":
		return ""
	}
	return fmt.Sprintf("provisioner %s of storage class %s has not made a volume for it", class.Provisioner, name)
}

// bindsLate reports whether claims of a class are bound only when their pod is
// scheduled.
func bindsLate(class *storagev1.StorageClass) bool {
	return class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// lastWarning returns the last warning event of a claim.
func lastWarning(v *observe.Cache, c *corev1.PersistentVolumeClaim) string {
	events := slices.DeleteFunc(observe.Owned[corev1.Event](v, observe.ClaimEvents, c.UID), func(e *corev1.Event) bool { return e.Type != corev1.EventTypeWarning })
	if len(events) == 0 {
		return ""
	}
	last := slices.MaxFunc(events, func(a, b *corev1.Event) int { return observe.EventTime(a).Compare(observe.EventTime(b)) })
	return observe.Reason(last.Reason, last.Message)
}

// unboundText describes claims, instead of the scheduler's message.
func unboundText(open []runtime.UnboundClaim) string {
	var parts []string
	for _, c := range open {
		parts = append(parts, fmt.Sprintf("its volume claim %s is not bound: %s", c.Name, c.Why))
	}
	return strings.Join(parts, "; ")
}

// A lookedAt is the server's last answer for a storage class.
type lookedAt struct {
	class *storagev1.StorageClass
	err   error
	at    time.Time
}

// classOf returns a storage class, which is queried again from time to time
// because it may be created.
func (w *wait) classOf(name string) (*storagev1.StorageClass, error) {
	known, ok := w.classes[name]
	if now := time.Now(); !ok || now.Sub(known.at) >= reportEvery {
		known.class, known.err = w.class(name)
		known.at = now
		w.classes[name] = known
	}
	return known.class, known.err
}

// storageClass queries the server for a storage class.
func (c *cluster) storageClass(ctx context.Context, name string) (*storagev1.StorageClass, error) {
	ctx, stop := context.WithTimeout(ctx, observe.AnswerTime)
	defer stop()
	return c.Typed.StorageV1().StorageClasses().Get(ctx, name, metav1.GetOptions{})
}
