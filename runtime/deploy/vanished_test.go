package deploy

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// drop deletes an object of a test view, like a watch.
func drop(t *testing.T, v *observe.Cache, o kruntime.Object) {
	t.Helper()
	kind := kindOf(o)
	if err := v.Index(kind).Delete(o); err != nil {
		t.Fatal(err)
	}
	v.Deleted(kind, o)
}

// TestVanished checks that a wait for a workload that is deleted ends immediately, with a
// result that depends on its last known state (D7), in virtual time.
func TestVanished(t *testing.T) {
	complete := batchv1.JobCondition{Type: batchv1.JobComplete}
	failed := batchv1.JobCondition{Type: batchv1.JobFailed, Message: "too often"}
	going := func(o kruntime.Object) kruntime.Object {
		m, err := meta.Accessor(o)
		if err != nil {
			t.Fatal(err)
		}
		m.SetDeletionTimestamp(&metav1.Time{Time: time.Now().Add(30 * time.Second)})
		m.SetDeletionGracePeriodSeconds(new(int64(30)))
		return o
	}
	ofJob := func(name string, phase corev1.PodPhase, ended time.Duration) *corev1.Pod {
		m := owned1("Job", "j", metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)})
		p := &corev1.Pod{ObjectMeta: m, Status: corev1.PodStatus{Phase: phase}}
		if phase == corev1.PodSucceeded {
			end := metav1.NewTime(time.Now().Add(ended))
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: end}}}}
		}
		return p
	}
	two := func() *batchv1.Job {
		j := job()
		j.Spec.Completions = new(int32(2))
		return j
	}
	pod := func(phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: named("p", 1), Status: corev1.PodStatus{Phase: phase}}
	}
	const deleted = "it was deleted while it was waited for"
	aJob := target{kind: "Job", namespace: "ns", name: "api", uid: "j"}
	aPod := target{kind: "Pod", namespace: "ns", name: "api", uid: "p"}
	toEnd := aPod
	toEnd.toEnd = true
	stopped := target{kind: "Deployment", namespace: "ns", name: "api", uid: "d", mayGo: true}
	for _, test := range []struct {
		name   string
		target target
		script func(t *testing.T, v *observe.Cache)
		want   string // "" means ready
	}{
		{"a job that has succeeded, by its TTL", aJob, func(t *testing.T, v *observe.Cache) { drop(t, v, job(complete)) }, ""},
		{"a job that has failed, by its TTL", aJob, func(t *testing.T, v *observe.Cache) { drop(t, v, job(failed)) }, "job api: it failed: too often"},
		{"a job by hand", aJob, func(t *testing.T, v *observe.Cache) { drop(t, v, job()) }, "job api: " + deleted + ", and was not seen to succeed"},
		{"a job by hand, whose pod runs", aJob, func(t *testing.T, v *observe.Cache) {
			put(t, v, ofJob("one", corev1.PodRunning, 0))
			drop(t, v, job())
		}, "job api: " + deleted + ", and was not seen to succeed"},
		{"a job by hand, whose pod has succeeded", aJob, func(t *testing.T, v *observe.Cache) {
			put(t, v, ofJob("one", corev1.PodSucceeded, 0))
			drop(t, v, job())
		}, ""},
		{"a job by hand, after its pod, which had succeeded", aJob, func(t *testing.T, v *observe.Cache) {
			drop(t, v, ofJob("one", corev1.PodSucceeded, 0))
			drop(t, v, job())
		}, ""},
		{"a job by hand, whose pod ended well when it was asked to", aJob, func(t *testing.T, v *observe.Cache) {
			put(t, v, going(ofJob("one", corev1.PodSucceeded, time.Second)))
			drop(t, v, job())
		}, "job api: " + deleted + ", and was not seen to succeed"},
		{"a job by hand, whose pod had succeeded before it was deleted", aJob, func(t *testing.T, v *observe.Cache) {
			put(t, v, going(ofJob("one", corev1.PodSucceeded, -time.Second)))
			drop(t, v, job())
		}, ""},
		{"a job of two pods, one of which has succeeded", aJob, func(t *testing.T, v *observe.Cache) {
			put(t, v, ofJob("one", corev1.PodSucceeded, 0))
			drop(t, v, two())
		}, "job api: " + deleted + ", when 1 of 2 had succeeded"},
		{"a job of two that have succeeded", aJob, func(t *testing.T, v *observe.Cache) {
			put(t, v, ofJob("one", corev1.PodSucceeded, 0))
			drop(t, v, ofJob("two", corev1.PodSucceeded, 0))
			drop(t, v, two())
		}, ""},
		{"a job that waits for its pods to go", aJob, func(t *testing.T, v *observe.Cache) { put(t, v, going(job())) }, "job api: " + deleted},
		{"a job whose end the watch lost", aJob, func(t *testing.T, v *observe.Cache) {
			j := job()
			if err := v.Index("Job").Delete(j); err != nil {
				t.Error(err)
			}
			v.Deleted("Job", cache.DeletedFinalStateUnknown{Obj: j})
		}, "job api: " + deleted},
		{"a job that was made again", aJob, func(t *testing.T, v *observe.Cache) {
			drop(t, v, job())
			other := job()
			other.UID = "other"
			put(t, v, other)
		}, "job api: " + deleted},
		{"a pod of a hook", toEnd, func(t *testing.T, v *observe.Cache) { drop(t, v, pod(corev1.PodRunning)) }, "pod api: " + deleted + ", and was not seen to succeed"},
		{"a pod of a hook that has succeeded", toEnd, func(t *testing.T, v *observe.Cache) { drop(t, v, pod(corev1.PodSucceeded)) }, ""},
		{"a pod of a hook that has failed", toEnd, func(t *testing.T, v *observe.Cache) { drop(t, v, pod(corev1.PodFailed)) }, "pod api: it failed"},
		{"a pod", aPod, func(t *testing.T, v *observe.Cache) { drop(t, v, pod(corev1.PodRunning)) }, "pod api: " + deleted},
		{"a Deployment", target{kind: "Deployment", uid: "d"}, func(t *testing.T, v *observe.Cache) { drop(t, v, deployment(1, appsv1.DeploymentStatus{})) }, "deployment api: " + deleted},
		{"a Deployment in the foreground", target{kind: "Deployment", uid: "d"}, func(t *testing.T, v *observe.Cache) { put(t, v, going(deployment(1, appsv1.DeploymentStatus{}))) }, "deployment api: " + deleted},
		{"a Deployment that is stopped", stopped, func(t *testing.T, v *observe.Cache) { drop(t, v, deployment(0, appsv1.DeploymentStatus{})) }, ""},
		{"a StatefulSet", target{kind: "StatefulSet", uid: "s"}, func(t *testing.T, v *observe.Cache) { drop(t, v, statefulSet(1, appsv1.StatefulSetStatus{})) }, "statefulset api: " + deleted},
		{"a DaemonSet", target{kind: "DaemonSet", uid: "x"}, func(t *testing.T, v *observe.Cache) { drop(t, v, &appsv1.DaemonSet{ObjectMeta: named("x", 1)}) }, "daemonset api: " + deleted},
		{"a ReplicaSet", target{kind: "ReplicaSet", uid: "x"}, func(t *testing.T, v *observe.Cache) { drop(t, v, &appsv1.ReplicaSet{ObjectMeta: named("x", 1)}) }, "replicaset api: " + deleted},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := testView(t)
				test.target.namespace, test.target.name = "ns", "api"
				w := newWait([]target{test.target}, func(runtime.Body) {})
				w.caches["ns"] = v
				w.exists = func(target) bool { return true }
				changes := make(chan struct{}, 1)
				defer v.Read(changes)()
				begun := time.Now()
				go func() {
					time.Sleep(time.Second)
					test.script(t, v)
				}()
				err := w.run(t.Context(), changes, within(time.Minute))
				if took := time.Since(begun); took != time.Second {
					t.Errorf("decided after %s, want 1s", took)
				}
				if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
					t.Errorf("error = %v, want %q", err, test.want)
				}
			})
		})
	}
}

// TestNeverSeen checks that the server is asked about a workload that the watch never shows.
func TestNeverSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView(t)
		w := newWait([]target{{kind: "Job", namespace: "ns", name: "api", uid: "j"}}, func(runtime.Body) {})
		w.caches["ns"] = v
		asked := 0
		w.exists = func(target) bool {
			asked++
			return asked < 3
		}
		begun := time.Now()
		err := w.run(t.Context(), nil, within(time.Minute))
		if took := time.Since(begun); took != 3*askAfter {
			t.Errorf("decided after %s, want %s", took, 3*askAfter)
		}
		var stuck *unready
		if !errors.As(err, &stuck) || err.Error() != "job api: it was deleted while it was waited for" {
			t.Errorf("error = %v", err)
		}
	})
}
