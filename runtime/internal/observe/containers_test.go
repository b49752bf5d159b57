package observe

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// TestSidecarOfEndedPod: the end of a sidecar that was ended with its pod is neither what
// is wrong with the pod nor the first that is said of it; that of another one is.
func TestSidecarOfEndedPod(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	exit := func(name string, code int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}
	}
	running := corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	for _, tt := range []struct {
		name string
		main corev1.ContainerStatus
		init []corev1.ContainerStatus
		want string
	}{
		{"the pod has succeeded", exit("main", 0), []corev1.ContainerStatus{exit("proxy", 143)}, ""},
		{"the first container has failed", exit("main", 2), []corev1.ContainerStatus{exit("proxy", 143)}, "container main exited with status 2"},
		{"the sidecar has failed", running, []corev1.ContainerStatus{exit("proxy", 1)}, "container proxy exited with status 1"},
		{"an init container has failed", corev1.ContainerStatus{Name: "main"}, []corev1.ContainerStatus{exit("migrate", 1)}, "container migrate exited with status 1"},
	} {
		p := &corev1.Pod{
			Spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "migrate"}, {Name: "proxy", RestartPolicy: &always}},
				Containers:     []corev1.Container{{Name: "main"}},
			},
			Status: corev1.PodStatus{InitContainerStatuses: tt.init, ContainerStatuses: []corev1.ContainerStatus{tt.main}},
		}
		got, cause := "", runtime.ReleaseCause("")
		if found := PodTrouble(p); found != nil {
			got, cause = found.What, found.Cause
		}
		if got != tt.want || cause != PodCause(p) {
			t.Errorf("%s: %q (%s), want %q", tt.name, got, cause, tt.want)
		}
	}
}
