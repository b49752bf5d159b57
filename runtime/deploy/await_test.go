package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// A scene is a Deployment with one replica whose pod a test controls.
type scene struct {
	t      *testing.T
	view   *observe.Cache
	events []string
	start  time.Time
}

func newScene(t *testing.T) *scene {
	d := deployment(1, appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1})
	d.Annotations = map[string]string{"deployment.kubernetes.io/revision": "2"}
	s := &scene{t: t, view: testView(t, d, replicaSet("old", "1"), replicaSet("new", "2")), start: time.Now()}
	s.pod("old-1", "old", corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, 9)
	return s
}

func replicaSet(uid, revision string) *appsv1.ReplicaSet {
	m := owned1("Deployment", "d", named(uid, 1))
	m.Name = "api-" + uid
	m.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision}
	return &appsv1.ReplicaSet{ObjectMeta: m}
}

// pod sets the state of the only container of a pod.
func (s *scene) pod(name, of string, state corev1.ContainerState, restarts int32) {
	m := owned1("ReplicaSet", of, metav1.ObjectMeta{Namespace: "ns", Name: "api-" + name, UID: types.UID(name)})
	p := &corev1.Pod{ObjectMeta: m, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "api", State: state, RestartCount: restarts}}
	if state.Waiting != nil && state.Waiting.Reason == "CrashLoopBackOff" {
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	}
	put(s.t, s.view, p)
}

func (s *scene) waits(reason, message string) {
	s.pod("new-1", "new", corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}, 0)
}

// crashes puts the container into the back-off after a crash; restarts is how often it was
// restarted before, one less than the number of crashes.
func (s *scene) crashes(restarts int32) {
	s.pod("new-1", "new", corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}}, restarts)
}

func (s *scene) ready() {
	d := observe.Object[appsv1.Deployment](s.view, "Deployment", "ns", "api").DeepCopy()
	d.Status.AvailableReplicas = 1
	put(s.t, s.view, d)
	r := replicaSet("new", "2")
	r.Status.AvailableReplicas = 1
	put(s.t, s.view, r)
}

// run waits while the script runs, and returns when and how the wait ended.
func (s *scene) run(timeout time.Duration, script func()) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(s.t.Context())
	return s.runWith(ctx, cancel, timeout, script)
}

func (s *scene) runWith(ctx context.Context, cancel context.CancelCauseFunc, timeout time.Duration, script func()) (time.Duration, error) {
	defer cancel(nil)
	w := newWait([]target{{kind: "Deployment", namespace: "ns", name: "api", uid: "d", generation: 2}}, func(b runtime.Body) {
		text := fmt.Sprintf("%.0fs ", time.Since(s.start).Seconds())
		switch b := b.(type) {
		case runtime.WaitingFor:
			text += b.What
		case runtime.PodChanged:
			text += fmt.Sprintf("%s %s %v %s", b.Pod, b.Phase, b.Ready, b.Reason)
		}
		s.events = append(s.events, text)
	})
	changes := make(chan struct{}, 1)
	defer s.view.Read(changes)()
	w.caches["ns"] = s.view
	done := make(chan struct{})
	go func() {
		defer close(done)
		script()
	}()
	err := w.run(ctx, changes, within(timeout))
	took := time.Since(s.start)
	<-done
	return took, err
}

// TestAwait checks when a wait decides that a Deployment can never become ready, in virtual
// time.
func TestAwait(t *testing.T) {
	const pulling = "Back-off pulling image"
	for _, test := range []struct {
		name   string
		script func(s *scene)
		took   time.Duration
		want   string // "" means ready
	}{
		{"ready", func(s *scene) { time.Sleep(3 * time.Second); s.ready() }, 3 * time.Second, ""},
		{"no image of that name", func(s *scene) { s.waits("InvalidImageName", "no") }, 0, "InvalidImageName: no"},
		{"no such image", func(s *scene) { s.waits("ErrImagePull", "manifest unknown") }, 0, "ErrImagePull: manifest unknown"},
		{"registry away", func(s *scene) {
			for range 10 {
				s.waits("ErrImagePull", "connection refused")
				time.Sleep(7 * time.Second)
				s.waits("ImagePullBackOff", pulling)
				time.Sleep(7 * time.Second)
			}
		}, observe.PullPatience, "ErrImagePull: connection refused"},
		{"registry comes back", func(s *scene) {
			s.waits("ErrImagePull", "connection refused")
			time.Sleep(observe.PullPatience - time.Second)
			s.waits("ContainerCreating", "")
			time.Sleep(time.Minute)
			s.ready()
		}, observe.PullPatience - time.Second + time.Minute, ""},
		{"pulled late, no place before", func(s *scene) {
			p := &corev1.Pod{ObjectMeta: owned1("ReplicaSet", "new", metav1.ObjectMeta{Namespace: "ns", Name: "api-new-1", UID: "new-1"})}
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}
			put(s.t, s.view, p)
			time.Sleep(time.Minute)
			s.waits("ErrImagePull", "timeout")
			time.Sleep(time.Second)
			s.ready()
		}, time.Minute + time.Second, ""},
		{"no Secret", func(s *scene) { s.waits("CreateContainerConfigError", `secret "x" not found`) }, observe.ConfigPatience, `CreateContainerConfigError: secret "x" not found`},
		{"a Secret a moment later", func(s *scene) {
			s.waits("CreateContainerConfigError", `secret "x" not found`)
			time.Sleep(observe.ConfigPatience / 2)
			s.ready()
		}, observe.ConfigPatience / 2, ""},
		{"crashes twice, then runs", func(s *scene) {
			s.crashes(0)
			time.Sleep(10 * time.Second)
			s.crashes(1)
			time.Sleep(20 * time.Second)
			s.ready()
		}, 30 * time.Second, ""},
		{"crashes", func(s *scene) {
			for n := range int32(5) {
				s.crashes(n)
				time.Sleep(10 * time.Second)
			}
		}, (observe.Crashes - 1) * 10 * time.Second, "CrashLoopBackOff: container api exited with status 1"},
		{"crashes, seen before it backs off", func(s *scene) {
			crashed := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}
			for n := range int32(5) {
				s.pod("new-1", "new", crashed, n)
				time.Sleep(5 * time.Second)
				s.pod("new-1", "new", corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, n+1)
				time.Sleep(5 * time.Second)
			}
		}, (observe.Crashes - 1) * 10 * time.Second, "container api exited with status 1"},
		{"the program is not there", func(s *scene) {
			s.pod("new-1", "new", corev1.ContainerState{}, 0)
			p := observe.Object[corev1.Pod](s.view, "Pod", "ns", "api-new-1").DeepCopy()
			p.Status.ContainerStatuses[0] = corev1.ContainerStatus{
				Name: "api", RestartCount: 1,
				State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "exec: no such file"}},
			}
			put(s.t, s.view, p)
		}, 0, "exited with status 128 (StartError): exec: no such file"},
		{"no quota", func(s *scene) {
			r := replicaSet("new", "2")
			r.Status.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "exceeded quota"}}
			put(s.t, s.view, r)
		}, createPatience, "FailedCreate: exceeded quota"},
		{"no place", func(s *scene) {
			p := &corev1.Pod{ObjectMeta: owned1("ReplicaSet", "new", metav1.ObjectMeta{Namespace: "ns", Name: "api-new-1", UID: "new-1"})}
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}
			put(s.t, s.view, p)
		}, 2 * time.Minute, "timed out after 2m0s: deployment api: 0 of 1 replica is available (pod api-new-1: Unschedulable: 0/1 nodes are available)"},
		{"nothing happens", func(*scene) {}, 2 * time.Minute, "timed out after 2m0s: deployment api: 0 of 1 replica is available"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				took, err := s.run(2*time.Minute, func() { test.script(s) })
				if took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("error = %v, want %q", err, test.want)
				}
				if isLate := errors.Is(err, runtime.ErrTimeout); isLate != (took == 2*time.Minute) {
					t.Errorf("the error is a timeout: %v", isLate)
				}
				var stuck *unready
				if err != nil && (!errors.As(err, &stuck) || len(stuck.blocked) != 1) {
					t.Errorf("error = %#v, want one about a workload", err)
				}
				for _, e := range s.events {
					if strings.Contains(e, "old-1") {
						t.Errorf("told of a pod of the former revision: %s", e)
					}
				}
			})
		})
	}
}

// TestAwaitTells checks what is reported during a wait, and how often.
func TestAwaitTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		_, err := s.run(time.Minute, func() {
			time.Sleep(time.Second)
			s.waits("ContainerCreating", "")
			time.Sleep(time.Second)
			s.crashes(1)
			for range 24 {
				time.Sleep(time.Second)
				s.crashes(1)
			}
			s.ready()
		})
		if err != nil {
			t.Fatal(err)
		}
		const back = "CrashLoopBackOff: container api exited with status 1"
		want := []string{
			"0s deployment api: 0 of 1 replica is available",
			"1s api-new-1 Pending false ",
			"2s api-new-1 Pending false " + back,
			"10s deployment api: 0 of 1 replica is available (pod api-new-1: " + back + ")",
			"20s deployment api: 0 of 1 replica is available (pod api-new-1: " + back + ")",
		}
		if strings.Join(s.events, "\n") != strings.Join(want, "\n") {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(s.events, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestAwaitCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		took, err := s.runWith(ctx, cancel, time.Minute, func() {
			time.Sleep(3 * time.Second)
			cancel(stopped)
		})
		if !errors.Is(err, stopped) || took != 3*time.Second {
			t.Errorf("error = %v after %s, want %v after 3s", err, took, stopped)
		}
	})
}
