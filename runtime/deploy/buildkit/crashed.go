package buildkit

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// replaceCrashed deletes the pods of set that the kubelet starts again later, after up to 5 minutes, so that the
// StatefulSet creates them again immediately: the user may have removed the reason of the crashes. A pod of an earlier
// revision is replaced without that. Without the permission to delete pods, they are left to the kubelet.
func (f *Farm) replaceCrashed(ctx context.Context, set *appsv1.StatefulSet, pods []corev1.Pod) error {
	for i := range pods {
		p := &pods[i]
		if !ours(p) || !metav1.IsControlledBy(p, set) || leaves(set, p) || !backsOff(p) {
			continue
		}
		err := f.client.CoreV1().Pods(f.namespace).Delete(ctx, p.Name, deletion(p))
		switch {
		case apierrors.IsForbidden(err):
			return nil
		case err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err): // it is another pod now
			return explain(err)
		}
	}
	return nil
}

// backsOff reports whether the kubelet waits before it starts the program of a pod again.
func backsOff(p *corev1.Pod) bool {
	t := observe.PodTrouble(p)
	if t == nil || t.Class != observe.ClassCrash {
		return false
	}
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			return true
		}
	}
	return false
}
