package deploy_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// beside adds the status of an init container to what a pod does.
func beside(container string, state corev1.ContainerState, do func(*corev1.Pod) corev1.PodStatus) func(*corev1.Pod) corev1.PodStatus {
	return func(pod *corev1.Pod) corev1.PodStatus {
		s := do(pod)
		s.InitContainerStatuses = []corev1.ContainerStatus{{Name: container, State: state, RestartCount: 3}}
		return s
	}
}

func ended(code int32) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: code}}
}

// withProxy adds an init container and a sidecar to a service.
func withProxy(s plan.Service) plan.Service {
	s.Images = []plan.NamedImage{{Name: "first", ImageSource: plan.ImageSource{Mirror: "first:1"}}, {Name: "proxy", ImageSource: plan.ImageSource{Mirror: "proxy:1"}}}
	s.Workload.Init = []plan.PodContainer{{Name: "first", Command: []string{"true"}}}
	s.Workload.Sidecars = []plan.PodContainer{{Name: "proxy", Health: &plan.Health{Kind: plan.HealthTCP, Port: 9901}}}
	return s
}

// TestSidecars: a cluster that has native sidecars runs those; one that crashes fails the
// release with its own log as evidence. One that ends because its job has ended does not.
func TestSidecars(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: readingLogs(config)})
	k := newKubelet(t, config, by(map[string]func(*corev1.Pod) corev1.PodStatus{
		"crash":  beside("proxy", ended(4), starts),
		"done":   beside("proxy", ended(143), succeeds),
		"failed": beside("proxy", ended(143), exits(2)),
	}))
	k.log("proxy", false, "no such cluster\n")
	k.log("report", false, "no such table\n")
	web := k.on(withProxy(plan.Service{Name: "web", Type: plan.Container, Timeout: plan.Duration(time.Minute), Workload: plan.Workload{Replicas: 1}, Values: plan.Values{"settleSeconds": 0}}))
	web.Workload.Patches.Patches = []plan.Patch{{Kind: "Deployment", Merge: plan.Values{"spec": map[string]any{"revisionHistoryLimit": int64(7)}}}}
	b.deploy(with(web, "runs"))
	d, err := client(t, config).AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	if len(pod.Containers) != 1 || pod.Containers[0].Name != "web" || len(pod.InitContainers) != 2 || pod.InitContainers[1].Name != "proxy" ||
		pod.InitContainers[1].RestartPolicy == nil || pod.InitContainers[1].Image != testImage {
		t.Errorf("containers %+v, init containers %+v", pod.Containers, pod.InitContainers)
	}
	if n := d.Spec.RevisionHistoryLimit; n == nil || *n != 7 {
		t.Errorf("the patch was not applied: revisionHistoryLimit %v", n)
	}
	failed := b.fails(with(web, "crash"), runtime.Rollback)
	contains(t, failed.Error(), "container proxy exited with status 4")
	contains(t, strings.Join(failed.Evidence, "\n"), "container proxy", "no such cluster")
	if failed.Cause != runtime.CauseCrash || failed.RolledBack == 0 {
		t.Errorf("cause %s, rolled back to %d", failed.Cause, failed.RolledBack)
	}

	report := k.on(withProxy(plan.Service{
		Name: "report", Type: plan.Job, Timeout: plan.Duration(time.Minute), Workload: plan.Workload{Replicas: 1, Job: &plan.JobSpec{On: plan.OnDeploy}},
	}))
	b.deploy(with(report, "done"))
	failed = b.fails(with(report, "failed"), runtime.Rollback)
	contains(t, strings.Join(failed.Evidence, "\n"), "container report exited with status 2", "no such table")
	if text := strings.Join(failed.Evidence, "\n"); strings.Contains(text, "143") {
		t.Errorf("the sidecar that was ended is in the evidence:\n%s", text)
	}
}
