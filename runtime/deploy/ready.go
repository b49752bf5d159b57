package deploy

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A target is a workload that has to be ready, at least as new as it was when
// it was written: what a watch shows of before must not count.
type target struct {
	kind, namespace, name string
	uid                   types.UID
	generation            int64
	toEnd                 bool // a pod has to end, as of a hook
	mayGo                 bool // to be deleted is as good as to be ready, as of what is stopped
}

func (t target) String() string { return strings.ToLower(t.kind) + " " + t.name }

// A standing says where a workload stands.
type standing struct {
	ready  bool
	why    string // why it is not ready, such as "1 of 2 replicas are available"
	failed string // why it never will be; empty if it may
	late   string // the field with its own deadline, if it failed as that is over
	unseen bool   // the cache does not show it
	// The controller of the pods of the newest revision, and which of its pods
	// these are: nil means all. Empty if that is not known yet: the troubles of
	// pods that are about to be replaced must not count.
	owner  types.UID
	newest func(*corev1.Pod) bool
	// Why pods cannot be made, where the workload itself tells.
	creating *observe.Trouble
	// All pods are to be of the newest revision in the end.
	replacesAll bool
}

// stand returns where a workload stands, by the rules of its kind (D2). They
// are those of "kubectl rollout status", which never counts the pods of a
// former revision; what is scaled to zero is ready.
func stand(v *observe.Cache, t target) standing {
	switch t.kind {
	case "Deployment":
		return shown(v, t, func(d *appsv1.Deployment) standing { return standDeployment(v, d) })
	case "StatefulSet":
		return shown(v, t, standStatefulSet)
	case "DaemonSet":
		return shown(v, t, standDaemonSet)
	case "ReplicaSet":
		return shown(v, t, standReplicaSet)
	case "Job":
		return shown(v, t, standJob)
	case "Pod":
		return shown(v, t, func(p *corev1.Pod) standing { return standPod(p, t.toEnd) })
	}
	return standing{ready: true}
}

// shown returns where a workload stands that the cache shows as it was written, or newer.
func shown[T any, P interface {
	*T
	metav1.Object
}](v *observe.Cache, t target, stand func(P) standing) standing {
	is := P(observe.Object[T](v, t.kind, t.namespace, t.name))
	switch {
	case is == nil || t.uid != "" && is.GetUID() != t.uid:
		if last, deleted := v.Gone(t.uid); deleted {
			if is, ok := last.(P); ok {
				return standDeleted(v, t, is, stand(is))
			}
			return standDeleted(v, t, nil, standing{})
		}
	case is.GetDeletionTimestamp() != nil:
		return standDeleted(v, t, is, stand(is))
	case is.GetGeneration() >= t.generation:
		return stand(is)
	}
	return standing{why: "the cluster does not show yet what was written", unseen: is == nil}
}

func standDeployment(v *observe.Cache, d *appsv1.Deployment) standing {
	var s standing
	want := observe.Replicas(d.Spec.Replicas)
	status := d.Status
	if status.ObservedGeneration < d.Generation {
		s.why = notSeen
		return s
	}
	available := status.AvailableReplicas
	if r := newestReplicaSet(v, d); r != nil {
		s.owner, s.creating = r.UID, notCreated(r)
		// The Deployment counts those of former revisions, too.
		available = min(available, r.Status.AvailableReplicas)
	}
	switch {
	case d.Spec.Paused: // it does nothing until somebody says so
		s.ready = true
	case status.UpdatedReplicas < want:
		s.why = fmt.Sprintf("%d of %s made", status.UpdatedReplicas, count(want))
	case available < want:
		s.why = fmt.Sprintf("%d of %s available", available, count(want))
	case status.Replicas > status.UpdatedReplicas:
		s.why = fmt.Sprintf("%d of the former revision are still there", status.Replicas-status.UpdatedReplicas)
	default:
		s.ready = true
	}
	for _, c := range status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" && !s.ready {
			s.failed, s.late = s.why+", and no progress within its progressDeadlineSeconds", "progressDeadlineSeconds"
		}
	}
	return s
}

// createPatience is how long pods may not be made: a quota is freed by pods that end.
const createPatience = 10 * time.Second

const notSeen = "its controller has not seen it yet"

// newestReplicaSet returns the ReplicaSet of the newest revision, or nil while
// it is not seen: the watches of the two kinds do not run in step.
func newestReplicaSet(v *observe.Cache, d *appsv1.Deployment) *appsv1.ReplicaSet {
	const revision = "deployment.kubernetes.io/revision"
	for _, r := range observe.Owned[appsv1.ReplicaSet](v, "ReplicaSet", d.UID) {
		if n := r.Annotations[revision]; n != "" && n == d.Annotations[revision] {
			return r
		}
	}
	return nil
}

// notCreated returns why a ReplicaSet cannot make pods, or nil.
func notCreated(r *appsv1.ReplicaSet) *observe.Trouble {
	for _, c := range r.Status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			return &observe.Trouble{Class: "create", Cause: notMade(c.Message), What: observe.Reason(c.Reason, c.Message), Patience: createPatience}
		}
	}
	return nil
}

func standStatefulSet(set *appsv1.StatefulSet) standing {
	status := set.Status
	if status.ObservedGeneration < set.Generation {
		return standing{why: notSeen}
	}
	s := standing{owner: set.UID, newest: func(p *corev1.Pod) bool {
		return p.Labels[appsv1.ControllerRevisionHashLabelKey] == status.UpdateRevision
	}}
	want := observe.Replicas(set.Spec.Replicas)
	updated := want
	if u := set.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		updated = max(0, want-*u.Partition)
	}
	if set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		updated = 0
	}
	s.replacesAll = updated == want
	switch {
	case status.UpdatedReplicas < updated && status.CurrentRevision != status.UpdateRevision:
		s.why = fmt.Sprintf("%d of %s of the new revision", status.UpdatedReplicas, count(updated))
	case status.Replicas < want:
		s.why = fmt.Sprintf("%d of %s made", status.Replicas, count(want))
	case status.Replicas > want:
		s.why = fmt.Sprintf("%d too many are still there", status.Replicas-want)
	case status.ReadyReplicas < want:
		s.why = fmt.Sprintf("%d of %s ready", status.ReadyReplicas, count(want))
	case status.AvailableReplicas < want:
		s.why = fmt.Sprintf("%d of %s available", status.AvailableReplicas, count(want))
	default:
		s.ready = true
	}
	return s
}

func standDaemonSet(d *appsv1.DaemonSet) standing {
	status := d.Status
	if status.ObservedGeneration < d.Generation {
		return standing{why: notSeen}
	}
	s := standing{owner: d.UID, newest: func(p *corev1.Pod) bool {
		return p.Labels["pod-template-generation"] == d.Annotations[appsv1.DeprecatedTemplateGeneration]
	}}
	want := status.DesiredNumberScheduled
	updated := want
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		updated = 0
	}
	switch {
	case status.UpdatedNumberScheduled < updated:
		s.why = fmt.Sprintf("%d of %s of the new revision", status.UpdatedNumberScheduled, count(want))
	case status.NumberAvailable < want:
		s.why = fmt.Sprintf("%d of %s available", status.NumberAvailable, count(want))
	default:
		s.ready = true
	}
	return s
}

func standReplicaSet(r *appsv1.ReplicaSet) standing {
	s := standing{owner: r.UID, creating: notCreated(r)}
	want := observe.Replicas(r.Spec.Replicas)
	switch {
	case r.Status.ObservedGeneration < r.Generation:
		s.why = notSeen
	case r.Status.AvailableReplicas < want:
		s.why = fmt.Sprintf("%d of %s available", r.Status.AvailableReplicas, count(want))
	default:
		s.ready = true
	}
	return s
}

// standJob says that a job is ready when it has succeeded.
func standJob(j *batchv1.Job) standing {
	s := standing{owner: j.UID}
	for _, c := range j.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobSuspended:
			s.ready = true
			return s
		case batchv1.JobFailed, batchv1.JobFailureTarget:
			s.failed = "it failed"
			if c.Message != "" {
				s.failed += ": " + c.Message
			}
			if c.Reason == batchv1.JobReasonDeadlineExceeded {
				s.late = "activeDeadlineSeconds"
			}
			return s
		}
	}
	want := completions(j)
	s.why = fmt.Sprintf("%d of %d have succeeded", j.Status.Succeeded, want)
	if want == 1 {
		s.why = "it has not ended yet"
	}
	if j.Status.Failed > 0 {
		s.why += fmt.Sprintf(", %d failed", j.Status.Failed)
	}
	return s
}

func standPod(p *corev1.Pod, toEnd bool) standing {
	s := standing{owner: p.UID}
	switch {
	case p.Status.Phase == corev1.PodSucceeded || observe.PodReady(p) && !toEnd:
		s.ready = true
	case p.Status.Phase == corev1.PodFailed:
		s.failed = "it failed"
		if p.Status.Message != "" {
			s.failed += ": " + p.Status.Message
		}
	default:
		s.why = "it is not ready"
		if toEnd {
			s.why = "it has not ended yet"
		}
	}
	return s
}

// count is how many replicas there are to be, with the verb of what they are.
func count(n int32) string {
	if n == 1 {
		return "1 replica is"
	}
	return fmt.Sprintf("%d replicas are", n)
}
