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

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A workload that is deleted during the wait never becomes ready, whether a user, its own
// ttlSecondsAfterFinished or a controller deletes it. So its last known state decides
// immediately (SPEC D7). The watch reports the deletion with that state. If the watch
// never showed the workload, the server is asked.

const (
	// askAfter is how long a watch may fail to show a workload that was written, before
	// the server is asked whether it exists.
	askAfter = 3 * time.Second
)

// resources has the resources of the kinds of workloads.
var resources = map[string]schema.GroupVersionResource{
	"Deployment":  {Group: "apps", Version: "v1", Resource: "deployments"},
	"StatefulSet": {Group: "apps", Version: "v1", Resource: "statefulsets"},
	"DaemonSet":   {Group: "apps", Version: "v1", Resource: "daemonsets"},
	"ReplicaSet":  {Group: "apps", Version: "v1", Resource: "replicasets"},
	"Job":         {Group: "batch", Version: "v1", Resource: "jobs"},
	"Pod":         {Version: "v1", Resource: "pods"},
}

// exists asks the server whether a workload still exists. Without an answer, it returns
// true.
func (c *cluster) exists(ctx context.Context, t target) bool {
	ctx, stop := context.WithTimeout(ctx, observe.AnswerTime)
	defer stop()
	is, err := c.Metadata.Resource(resources[t.kind]).Namespace(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if err != nil {
		return !apierrors.IsNotFound(err)
	}
	return t.uid == "" || is.UID == t.uid
}

const wasDeleted = "it was deleted while it was waited for"

// deletedStatus returns the status of a workload that was deleted or is being deleted.
// last and s are its last known state and status, if it was seen.
func deletedStatus(v *observe.Cache, t target, last metav1.Object, s workloadStatus) workloadStatus {
	switch is := last.(type) {
	case *batchv1.Job:
		want := completions(is)
		succeeded := max(is.Status.Succeeded, succeededPods(v, is.UID))
		switch {
		case s.ready, succeeded >= want:
			return workloadStatus{ready: true}
		case s.failed != "":
			return s
		case want == 1:
			return workloadStatus{owner: is.UID, failed: wasDeleted + ", and was not seen to succeed"}
		}
		return workloadStatus{owner: is.UID, failed: fmt.Sprintf("%s, when %d of %d had succeeded", wasDeleted, succeeded, want)}
	case *corev1.Pod:
		switch {
		case succeededPod(is):
			return workloadStatus{ready: true}
		case s.failed != "":
			return s
		case t.toEnd:
			return workloadStatus{owner: is.UID, failed: wasDeleted + ", and was not seen to succeed"}
		}
	}
	return workloadStatus{ready: t.mayGo, failed: wasDeleted}
}

// succeededPods returns how many pods of a job have succeeded, as far as the cache knows.
func succeededPods(v *observe.Cache, job types.UID) int32 {
	names := make(map[string]bool)
	for _, p := range slices.Concat(observe.Owned[corev1.Pod](v, "Pod", job), v.GoneOf(job)) {
		if succeededPod(p) {
			names[p.Name] = true
		}
	}
	return int32(len(names)) //nolint:gosec // pods are fewer
}

// succeededPod reports whether a pod has succeeded by itself. A pod that is deleted while
// it runs also has the phase Succeeded if its program exits with 0 when it is terminated.
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

// completions returns how many pods of a job must succeed.
func completions(j *batchv1.Job) int32 {
	if j.Spec.Completions != nil {
		return *j.Spec.Completions
	}
	return 1
}
