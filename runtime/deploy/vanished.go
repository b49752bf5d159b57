package deploy

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// A workload that is deleted while it is waited for never gets ready: by hand, by
// its own ttlSecondsAfterFinished, by somebody's controller. That is decided
// immediately, by how it was last seen (SPEC D7). The watch tells of the deletion,
// with that state. If the watch never showed the workload, the server is asked.

const (
	// remembered is how many deleted objects a view keeps.
	remembered = 1000
	// askAfter is how long a watch may not show what was written until the server
	// is asked whether it exists.
	askAfter = 3 * time.Second
)

// resources are where the server keeps the kinds that are waited for.
var resources = map[string]schema.GroupVersionResource{
	"Deployment":  {Group: "apps", Version: "v1", Resource: "deployments"},
	"StatefulSet": {Group: "apps", Version: "v1", Resource: "statefulsets"},
	"DaemonSet":   {Group: "apps", Version: "v1", Resource: "daemonsets"},
	"ReplicaSet":  {Group: "apps", Version: "v1", Resource: "replicasets"},
	"Job":         {Group: "batch", Version: "v1", Resource: "jobs"},
	"Pod":         {Version: "v1", Resource: "pods"},
}

// exists asks the server whether a workload is still there. Without an answer it is.
func (c *cluster) exists(ctx context.Context, t target) bool {
	ctx, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	is, err := c.metadata.Resource(resources[t.kind]).Namespace(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if err != nil {
		return !apierrors.IsNotFound(err)
	}
	return t.uid == "" || is.UID == t.uid
}

// deleted notes that an object was deleted. What a controller makes and deletes all
// the time is not kept, but for the pods of jobs, which tell how these ended.
func (v *view) deleted(kind string, obj any) {
	if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = last.Obj
	}
	if m, ok := obj.(metav1.Object); ok && kind != failedCreate && kind != claimEvents {
		owner := metav1.GetControllerOfNoCopy(m)
		if owner == nil || owner.Kind == "Job" {
			v.remember(m.GetUID(), m)
		}
	}
	v.changed(kind, nil)
}

// remember keeps how a deleted object was last seen; nil: it never was.
func (v *view) remember(uid types.UID, last metav1.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.last[uid]; !known {
		v.order = append(v.order, uid)
	}
	v.last[uid] = last
	if len(v.order) > remembered {
		delete(v.last, v.order[0])
		v.order = v.order[1:]
	}
}

// gone reports whether the object with that UID was deleted, and how it was last
// seen, or nil.
func (v *view) gone(uid types.UID) (last metav1.Object, deleted bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last, deleted = v.last[uid]
	return last, deleted && uid != ""
}

// goneOf returns the pods of a job that were deleted.
func (v *view) goneOf(job types.UID) []*corev1.Pod {
	v.mu.Lock()
	defer v.mu.Unlock()
	var pods []*corev1.Pod
	for _, uid := range v.order {
		p, ok := v.last[uid].(*corev1.Pod)
		if !ok {
			continue
		}
		if owner := metav1.GetControllerOfNoCopy(p); owner != nil && owner.UID == job {
			pods = append(pods, p)
		}
	}
	return pods
}

const wasDeleted = "it was deleted while it was waited for"

// standDeleted returns where a workload stands that was deleted or is being
// deleted. s is where it last stood, if it was seen.
func standDeleted(v *view, t target, last metav1.Object, s standing) standing {
	switch is := last.(type) {
	case *batchv1.Job:
		want := completions(is)
		succeeded := max(is.Status.Succeeded, succeededPods(v, is.UID))
		switch {
		case s.ready, succeeded >= want:
			return standing{ready: true}
		case s.failed != "":
			return s
		case want == 1:
			return standing{owner: is.UID, failed: wasDeleted + ", and was not seen to succeed"}
		}
		return standing{owner: is.UID, failed: fmt.Sprintf("%s, when %d of %d had succeeded", wasDeleted, succeeded, want)}
	case *corev1.Pod:
		switch {
		case succeededPod(is):
			return standing{ready: true}
		case s.failed != "":
			return s
		case t.toEnd:
			return standing{owner: is.UID, failed: wasDeleted + ", and was not seen to succeed"}
		}
	}
	return standing{ready: t.mayGo, failed: wasDeleted}
}

// succeededPods returns how many pods of a job were seen to succeed.
func succeededPods(v *view, job types.UID) int32 {
	names := make(map[string]bool)
	for _, p := range slices.Concat(owned[corev1.Pod](v, "Pod", job), v.goneOf(job)) {
		if succeededPod(p) {
			names[p.Name] = true
		}
	}
	return int32(len(names)) //nolint:gosec // pods are fewer
}

// succeededPod reports whether a pod has succeeded by itself. One that is deleted
// while it runs also succeeds if its program ends well when it is told to.
func succeededPod(p *corev1.Pod) bool {
	if p.Status.Phase != corev1.PodSucceeded {
		return false
	}
	if p.DeletionTimestamp == nil {
		return true
	}
	asked := p.DeletionTimestamp.Time
	if p.DeletionGracePeriodSeconds != nil {
		asked = asked.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
	}
	for i := range p.Status.ContainerStatuses {
		t := p.Status.ContainerStatuses[i].State.Terminated
		if t == nil || !t.FinishedAt.Time.Before(asked) {
			return false
		}
	}
	return len(p.Status.ContainerStatuses) > 0
}

// completions returns how many pods of a job have to succeed.
func completions(j *batchv1.Job) int32 {
	if j.Spec.Completions != nil {
		return *j.Spec.Completions
	}
	return 1
}
