package reach

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestNewestFirst: the order depends only on the pods.
func TestNewestFirst(t *testing.T) {
	t.Parallel()
	pod := func(name string, second int64) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Time{Time: time.Unix(second, 0)}}}
	}
	pods := []*corev1.Pod{pod("b", 1), pod("a", 2), pod("c", 3), pod("a", 1)}
	slices.SortFunc(pods, newestFirst)
	var got []string
	for _, p := range pods {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"c", "a", "a", "b"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestNoPod: the error contains the state of each pod.
func TestNoPod(t *testing.T) {
	t.Parallel()
	status := func(phase corev1.PodPhase, s corev1.ContainerState) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p"},
			Spec:       corev1.PodSpec{NodeName: "n"},
			Status:     corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{State: s}}},
		}
	}
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	exit := func(code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Completed"}}
	}
	unscheduled := status(corev1.PodPending, corev1.ContainerState{})
	unscheduled.Spec.NodeName = ""
	terminating := status(corev1.PodRunning, corev1.ContainerState{})
	terminating.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	evicted := status(corev1.PodFailed, corev1.ContainerState{})
	evicted.Status.Reason = "Evicted"
	initial := status(corev1.PodPending, waiting("PodInitializing"))
	initial.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: exit(0)}}
	crashed := status(corev1.PodPending, waiting("PodInitializing"))
	crashed.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: exit(1)}}
	for _, tt := range []struct {
		pod   *corev1.Pod
		want  string
		ended bool
	}{
		{status(corev1.PodPending, waiting("ImagePullBackOff")), "ImagePullBackOff", false},
		{status(corev1.PodRunning, waiting("CrashLoopBackOff")), "CrashLoopBackOff", false},
		{status(corev1.PodRunning, exit(3)), "ended with status 3", false},
		{status(corev1.PodRunning, corev1.ContainerState{}), "not ready", false},
		{status(corev1.PodSucceeded, exit(0)), "Succeeded", true},
		{status(corev1.PodFailed, exit(2)), "ended with status 2", true},
		{evicted, "Evicted", true},
		{unscheduled, "not scheduled yet", false},
		{terminating, "terminating", false},
		{initial, "starting", false},
		{crashed, "ended with status 1", false},
	} {
		err := noPod("web", []*corev1.Pod{tt.pod}, true)
		if want := "no pod of web is ready: p (" + tt.want + ")"; err.Error() != want || err.Ended() != tt.ended {
			t.Errorf("%s: %v, ended %v, want %v", tt.want, err, err.Ended(), tt.ended)
		}
	}
	if err := noPod("web", nil, false); err.Error() != "web has no pod" || err.Ended() {
		t.Errorf("without pods: %v", err)
	}
	p := status(corev1.PodRunning, corev1.ContainerState{})
	want := "no pod of web is running: p (not ready), p (not ready), p (not ready), and 2 more"
	if got := noPod("web", []*corev1.Pod{p, p, p, p, p}, false).Error(); got != want {
		t.Errorf("of five pods: %s", got)
	}
}
