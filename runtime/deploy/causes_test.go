package deploy_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestCauses checks the causes of failed releases that need more than one pod's words: what
// a kubelet reports, what the scheduler decides, and what admission refuses (A8).
func TestCauses(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	c := client(t, config)
	// What a kubelet and containerd report.
	killed := func(pod *corev1.Pod) corev1.PodStatus {
		return status(corev1.PodRunning, false, corev1.ContainerStatus{
			RestartCount:         3,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s restarting failed container"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}},
		}, pod)
	}
	k := newKubelet(t, config, by(map[string]func(*corev1.Pod) corev1.PodStatus{
		"killed":     killed,
		"no command": waits("CreateContainerError", `failed to generate container "x" spec: failed to generate spec: no command specified`),
	}))
	for name, test := range map[string]struct {
		service plan.Service
		prepare func(b *bench)
		want    runtime.ReleaseCause
		text    string
	}{
		"memory":  {service: k.on(with(container("api"), "killed")), want: runtime.CauseMemory, text: "OOMKilled"},
		"command": {service: k.on(with(container("api"), "no command")), want: runtime.CauseCommand, text: "no command specified"},
		"node": {service: func() plan.Service {
			s := container("api")
			s.Workload.Resources = &plan.Resources{CPU: "1000000"}
			s.Timeout = plan.Duration(5 * time.Second)
			return s
		}(), want: runtime.CauseNode, text: "Insufficient cpu"},
		"quota": {service: container("api"), prepare: func(b *bench) {
			quotas := c.CoreV1().ResourceQuotas(b.namespace)
			_, err := quotas.Create(b.t.Context(), &corev1.ResourceQuota{
				ObjectMeta: metav1.ObjectMeta{Name: "no-pods"},
				Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
			}, metav1.CreateOptions{})
			must(b.t, err)
			await(b.t, func() bool {
				q, err := quotas.Get(b.t.Context(), "no-pods", metav1.GetOptions{})
				must(b.t, err)
				return len(q.Status.Hard) > 0
			})
		}, want: runtime.CauseQuota, text: "exceeded quota: no-pods"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, deploy.Options{Config: config})
			if test.prepare != nil {
				test.prepare(b)
			}
			failed := b.fails(test.service, runtime.Keep)
			if failed.Cause != test.want {
				t.Errorf("the cause is %q, want %q: %s", failed.Cause, test.want, explained(failed))
			}
			contains(t, explained(failed), test.text)
		})
	}
}
