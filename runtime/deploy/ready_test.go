package deploy

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// testView returns a view of the given objects, which only the test changes.
func testView(t *testing.T, objects ...kruntime.Object) *observe.Cache {
	t.Helper()
	v := observe.NewFixed()
	t.Cleanup(v.Stop)
	for _, o := range objects {
		put(t, v, o)
	}
	return v
}

// put adds or replaces an object of a test view.
func put(t *testing.T, v *observe.Cache, o kruntime.Object) {
	t.Helper()
	kind := kindOf(o)
	if err := v.Index(kind).Add(o); err != nil {
		t.Fatal(err)
	}
	v.Changed(kind, nil)
}

func kindOf(o kruntime.Object) string {
	switch o.(type) {
	case *appsv1.Deployment:
		return "Deployment"
	case *appsv1.StatefulSet:
		return "StatefulSet"
	case *appsv1.DaemonSet:
		return "DaemonSet"
	case *appsv1.ReplicaSet:
		return "ReplicaSet"
	case *batchv1.Job:
		return "Job"
	case *corev1.Secret:
		return observe.SecretKind
	case *corev1.Pod:
		return "Pod"
	case *corev1.PersistentVolumeClaim:
		return observe.Claims
	case *corev1.Event:
		return observe.FailedCreate
	}
	return ""
}

func named(uid string, generation int64) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "ns", Name: "api", UID: types.UID(uid), Generation: generation}
}

func owned1(kind, owner string, m metav1.ObjectMeta) metav1.ObjectMeta {
	yes := true
	m.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "api", UID: types.UID(owner), Controller: &yes}}
	return m
}

func ptr[T any](v T) *T { return &v }

func deployment(replicas int32, status appsv1.DeploymentStatus) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: named("d", 2), Spec: appsv1.DeploymentSpec{Replicas: &replicas}, Status: status}
}

func statefulSet(replicas int32, status appsv1.StatefulSetStatus) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: named("s", 2), Spec: appsv1.StatefulSetSpec{Replicas: &replicas}, Status: status}
}

func job(conditions ...batchv1.JobCondition) *batchv1.Job {
	for i := range conditions {
		conditions[i].Status = corev1.ConditionTrue
	}
	return &batchv1.Job{ObjectMeta: named("j", 1), Status: batchv1.JobStatus{Conditions: conditions}}
}

// TestStand checks the rules of readiness (D2) against the statuses of the kinds.
func TestStand(t *testing.T) {
	paused := deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 2})
	paused.Spec.Paused = true
	unset := deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1})
	unset.Spec.Replicas = nil
	stalled := deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 2, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
	}})
	maxUnavailable := deployment(2, appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2})
	maxUnavailable.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
	partition := statefulSet(3, appsv1.StatefulSetStatus{
		ObservedGeneration: 2, Replicas: 3, ReadyReplicas: 3, AvailableReplicas: 3, UpdatedReplicas: 1, CurrentRevision: "a", UpdateRevision: "b",
	})
	partition.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr[int32](2)}
	onDelete := statefulSet(1, appsv1.StatefulSetStatus{
		ObservedGeneration: 2, Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, CurrentRevision: "a", UpdateRevision: "b",
	})
	onDelete.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	daemons := func(status appsv1.DaemonSetStatus) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{ObjectMeta: named("ds", 2), Status: status}
	}
	pod := func(phase corev1.PodPhase, ready corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: named("p", 0), Status: corev1.PodStatus{
			Phase: phase, Message: "evicted", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		}}
	}
	parallel := job()
	parallel.Spec.Completions = ptr[int32](3)
	parallel.Status.Succeeded, parallel.Status.Failed = 1, 2

	for _, test := range []struct {
		name   string
		object kruntime.Object
		target target
		why    string // "" means ready
		failed string
		late   string
	}{
		{"not there", nil, target{kind: "Deployment"}, "the cluster does not show yet what was written", "", ""},
		{"the one of before", deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 2}), target{kind: "Deployment", uid: "other"}, "the cluster does not show yet what was written", "", ""},
		{"as it was before", unset, target{kind: "Deployment", uid: "d", generation: 3}, "the cluster does not show yet what was written", "", ""},
		{"not seen", deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}), target{kind: "Deployment"}, notSeen, "", ""},
		{"not made", deployment(2, appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1}), target{kind: "Deployment"}, "1 of 2 replicas are made", "", ""},
		{"old ones left", deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 1, AvailableReplicas: 2}), target{kind: "Deployment"}, "1 of the former revision are still there", "", ""},
		{"not available", deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1}), target{kind: "Deployment"}, "0 of 1 replica is available", "", ""},
		{"maxUnavailable of all", maxUnavailable, target{kind: "Deployment"}, "0 of 2 replicas are available", "", ""},
		{"available", unset, target{kind: "Deployment", uid: "d", generation: 2}, "", "", ""},
		{"zero", deployment(0, appsv1.DeploymentStatus{ObservedGeneration: 2}), target{kind: "Deployment"}, "", "", ""},
		{"zero, one left", deployment(0, appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1}), target{kind: "Deployment"}, "1 of the former revision are still there", "", ""},
		{"paused", paused, target{kind: "Deployment"}, "", "", ""},
		{"stalled", stalled, target{kind: "Deployment"}, "0 of 1 replica is made", "0 of 1 replica is made, and no progress within its progressDeadlineSeconds", "progressDeadlineSeconds"},

		{"set not seen", statefulSet(1, appsv1.StatefulSetStatus{ObservedGeneration: 1}), target{kind: "StatefulSet"}, notSeen, "", ""},
		{"set of the old revision", statefulSet(1, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, CurrentRevision: "a", UpdateRevision: "b"}), target{kind: "StatefulSet"}, "0 of 1 replica is of the new revision", "", ""},
		{"set not made", statefulSet(3, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, CurrentRevision: "a", UpdateRevision: "a"}), target{kind: "StatefulSet"}, "1 of 3 replicas are made", "", ""},
		{"set not ready", statefulSet(1, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, CurrentRevision: "a", UpdateRevision: "a"}), target{kind: "StatefulSet"}, "0 of 1 replica is ready", "", ""},
		{"set not available", statefulSet(1, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, CurrentRevision: "a", UpdateRevision: "a"}), target{kind: "StatefulSet"}, "0 of 1 replica is available", "", ""},
		{"set too many", statefulSet(0, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 1}), target{kind: "StatefulSet"}, "1 too many are still there", "", ""},
		{"set ready", statefulSet(1, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, CurrentRevision: "b", UpdateRevision: "b"}), target{kind: "StatefulSet"}, "", "", ""},
		{"set of zero", statefulSet(0, appsv1.StatefulSetStatus{ObservedGeneration: 2}), target{kind: "StatefulSet"}, "", "", ""},
		{"set partitioned", partition, target{kind: "StatefulSet"}, "", "", ""},
		{"set updated by hand", onDelete, target{kind: "StatefulSet"}, "", "", ""},

		{"daemons not seen", daemons(appsv1.DaemonSetStatus{ObservedGeneration: 1}), target{kind: "DaemonSet"}, notSeen, "", ""},
		{"daemons not updated", daemons(appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, NumberAvailable: 2, UpdatedNumberScheduled: 1}), target{kind: "DaemonSet"}, "1 of 2 replicas are of the new revision", "", ""},
		{"daemons not available", daemons(appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, NumberAvailable: 1, UpdatedNumberScheduled: 2}), target{kind: "DaemonSet"}, "1 of 2 replicas are available", "", ""},
		{"daemons", daemons(appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, NumberAvailable: 2, UpdatedNumberScheduled: 2}), target{kind: "DaemonSet"}, "", "", ""},
		{"no node for daemons", daemons(appsv1.DaemonSetStatus{ObservedGeneration: 2}), target{kind: "DaemonSet"}, "", "", ""},

		{"replica set", &appsv1.ReplicaSet{ObjectMeta: named("r", 1), Spec: appsv1.ReplicaSetSpec{Replicas: ptr[int32](2)}, Status: appsv1.ReplicaSetStatus{ObservedGeneration: 1, AvailableReplicas: 1}}, target{kind: "ReplicaSet"}, "1 of 2 replicas are available", "", ""},
		{"replica set ready", &appsv1.ReplicaSet{ObjectMeta: named("r", 1), Spec: appsv1.ReplicaSetSpec{Replicas: ptr[int32](2)}, Status: appsv1.ReplicaSetStatus{ObservedGeneration: 1, AvailableReplicas: 2}}, target{kind: "ReplicaSet"}, "", "", ""},

		{"job running", job(), target{kind: "Job"}, "it has not ended yet", "", ""},
		{"job of several", parallel, target{kind: "Job"}, "1 of 3 have succeeded, 2 failed", "", ""},
		{"job done", job(batchv1.JobCondition{Type: batchv1.JobSuccessCriteriaMet}, batchv1.JobCondition{Type: batchv1.JobComplete}), target{kind: "Job", generation: 1}, "", "", ""},
		{"job suspended", job(batchv1.JobCondition{Type: batchv1.JobSuspended}), target{kind: "Job"}, "", "", ""},
		{"job failed", job(batchv1.JobCondition{Type: batchv1.JobFailed, Reason: "BackoffLimitExceeded", Message: "too often"}), target{kind: "Job"}, "", "it failed: too often", ""},
		{"job about to fail", job(batchv1.JobCondition{Type: batchv1.JobFailureTarget, Reason: "PodFailurePolicy"}), target{kind: "Job"}, "", "it failed", ""},
		{"job late", job(batchv1.JobCondition{Type: batchv1.JobFailed, Reason: "DeadlineExceeded", Message: "too long"}), target{kind: "Job"}, "", "it failed: too long", "activeDeadlineSeconds"},

		{"pod pending", pod(corev1.PodPending, corev1.ConditionFalse), target{kind: "Pod"}, "it is not ready", "", ""},
		{"pod ready", pod(corev1.PodRunning, corev1.ConditionTrue), target{kind: "Pod"}, "", "", ""},
		{"pod done", pod(corev1.PodSucceeded, corev1.ConditionFalse), target{kind: "Pod"}, "", "", ""},
		{"pod failed", pod(corev1.PodFailed, corev1.ConditionFalse), target{kind: "Pod"}, "", "it failed: evicted", ""},
		{"pod of a hook", pod(corev1.PodRunning, corev1.ConditionTrue), target{kind: "Pod", toEnd: true}, "it has not ended yet", "", ""},
		{"another kind", nil, target{kind: "Secret"}, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := testView(t)
			if test.object != nil {
				put(t, v, test.object)
			}
			test.target.namespace, test.target.name = "ns", "api"
			got := workloadStatusOf(v, test.target)
			if got.ready != (test.why == "" && test.failed == "") || got.why != test.why || got.failed != test.failed || got.late != test.late {
				t.Errorf("workloadStatusOf = ready %v, why %q, failed %q, late %q; want why %q, failed %q, late %q",
					got.ready, got.why, got.failed, got.late, test.why, test.failed, test.late)
			}
		})
	}
}
