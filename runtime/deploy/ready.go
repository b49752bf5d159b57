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

// A target is a workload that must become ready, in the version that was written or a
// newer one: earlier versions that a watch still shows must not count.
type target struct {
	kind, namespace, name string
	uid                   types.UID
	generation            int64
	toEnd                 bool // a pod must succeed, such as one of a hook
	mayGo                 bool // a deleted workload counts as ready, as when it is being stopped
}

func (t target) String() string { return strings.ToLower(t.kind) + " " + t.name }

// A workloadStatus says whether a workload is ready, and why not.
type workloadStatus struct {
	ready  bool
	why    string // why it is not ready, such as "1 of 2 replicas are available"
	failed string // why it can never become ready; empty if it can
	late   string // the field with the workload's own deadline, if it failed because that has passed
	unseen bool   // the cache does not show it
	// owner is the controller of the pods of the newest revision, and newest selects
	// these pods: nil means all. owner is empty while it is not known: the troubles of
	// pods that are about to be replaced must not count.
	owner  types.UID
	newest func(*corev1.Pod) bool
	// Why pods cannot be created, if the status of the workload says so.
	creating *observe.Trouble
	// The rollout replaces all pods with pods of the newest revision.
	replacesAll bool
}

// workloadStatusOf returns the status of a workload, by the rules of its kind (D2). They are those
// of "kubectl rollout status", which never counts the pods of a former revision. A
// workload that is scaled to zero is ready.
func workloadStatusOf(v *observe.Cache, t target) workloadStatus {
	switch t.kind {
	case "Deployment":
		return shown(v, t, func(d *appsv1.Deployment) workloadStatus { return deploymentStatus(v, d) })
	case "StatefulSet":
		return shown(v, t, statefulSetStatus)
	case "DaemonSet":
		return shown(v, t, daemonSetStatus)
	case "ReplicaSet":
		return shown(v, t, replicaSetStatus)
	case "Job":
		return shown(v, t, jobStatus)
	case "Pod":
		return shown(v, t, func(p *corev1.Pod) workloadStatus { return podStatus(p, t.toEnd) })
	}
	return workloadStatus{ready: true}
}

// shown returns the status of a workload. While the cache does not show the version that
// was written or a newer one, the workload is not ready.
func shown[T any, P interface {
	*T
	metav1.Object
}](v *observe.Cache, t target, statusOf func(P) workloadStatus) workloadStatus {
	is := P(observe.Object[T](v, t.kind, t.namespace, t.name))
	switch {
	case is == nil || t.uid != "" && is.GetUID() != t.uid:
		if last, deleted := v.Gone(t.uid); deleted {
			if is, ok := last.(P); ok {
				return deletedStatus(v, t, is, statusOf(is))
			}
			return deletedStatus(v, t, nil, workloadStatus{})
		}
	case is.GetDeletionTimestamp() != nil:
		return deletedStatus(v, t, is, statusOf(is))
	case is.GetGeneration() >= t.generation:
		return statusOf(is)
	}
	return workloadStatus{why: "the cluster does not show yet what was written", unseen: is == nil}
}

func deploymentStatus(v *observe.Cache, d *appsv1.Deployment) workloadStatus {
	var s workloadStatus
	want := observe.Replicas(d.Spec.Replicas)
	status := d.Status
	if status.ObservedGeneration < d.Generation {
		s.why = notSeen
		return s
	}
	available := status.AvailableReplicas
	if r := newestReplicaSet(v, d); r != nil {
		s.owner, s.creating = r.UID, notCreated(r)
		// The Deployment also counts pods of former revisions.
		available = min(available, r.Status.AvailableReplicas)
	}
	switch {
	case d.Spec.Paused: // it does nothing until it is resumed
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

// createPatience is how long the creation of pods may fail before that counts as a
// failure: pods that end free their quota.
const createPatience = 10 * time.Second

const notSeen = "its controller has not seen it yet"

// newestReplicaSet returns the ReplicaSet of the newest revision, or nil while the cache
// does not show it: the watches of the two kinds are not synchronized.
func newestReplicaSet(v *observe.Cache, d *appsv1.Deployment) *appsv1.ReplicaSet {
	const revision = "deployment.kubernetes.io/revision"
	for _, r := range observe.Owned[appsv1.ReplicaSet](v, "ReplicaSet", d.UID) {
		if n := r.Annotations[revision]; n != "" && n == d.Annotations[revision] {
			return r
		}
	}
	return nil
}

// notCreated returns why a ReplicaSet cannot create pods, or nil.
func notCreated(r *appsv1.ReplicaSet) *observe.Trouble {
	for _, c := range r.Status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			return &observe.Trouble{Class: "create", Cause: notMade(c.Message), What: observe.Reason(c.Reason, c.Message), Patience: createPatience}
		}
	}
	return nil
}

func statefulSetStatus(set *appsv1.StatefulSet) workloadStatus {
	status := set.Status
	if status.ObservedGeneration < set.Generation {
		return workloadStatus{why: notSeen}
	}
	s := workloadStatus{owner: set.UID, newest: func(p *corev1.Pod) bool {
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

func daemonSetStatus(d *appsv1.DaemonSet) workloadStatus {
	status := d.Status
	if status.ObservedGeneration < d.Generation {
		return workloadStatus{why: notSeen}
	}
	s := workloadStatus{owner: d.UID, newest: func(p *corev1.Pod) bool {
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

func replicaSetStatus(r *appsv1.ReplicaSet) workloadStatus {
	s := workloadStatus{owner: r.UID, creating: notCreated(r)}
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

// jobStatus returns the status of a job, which is ready when it has succeeded.
func jobStatus(j *batchv1.Job) workloadStatus {
	s := workloadStatus{owner: j.UID}
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

func podStatus(p *corev1.Pod, toEnd bool) workloadStatus {
	s := workloadStatus{owner: p.UID}
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

// count returns the desired number of replicas with its verb, such as "2 replicas are".
func count(n int32) string {
	if n == 1 {
		return "1 replica is"
	}
	return fmt.Sprintf("%d replicas are", n)
}
