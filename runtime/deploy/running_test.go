package deploy_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// withEverything returns a service with each argument about ports, checks and running.
func withEverything(name string) plan.Service {
	s := container(name)
	w := &s.Workload
	exec := &plan.Health{Kind: plan.HealthCommand, Command: []string{"true"}, Probe: plan.Probe{Period: plan.Duration(time.Second)}}
	w.Ports = []plan.Port{
		{Number: 8080, Name: "http", Protocol: "TCP", Public: true, Host: "a.example.org", Exposure: plan.Exposure{
			Service: 80, Kind: plan.ClusterIP, Path: "/api", TLS: &plan.TLS{Name: "a-example-org-tls"}, Annotations: map[string]string{"a": "b"},
		}},
		{Number: 9000, Name: "game", Protocol: "TCP", Exposure: plan.Exposure{Kind: plan.NodePort}},
		{Number: 9001, Name: "peers", Protocol: "TCP", Exposure: plan.Exposure{Kind: plan.Headless}},
	}
	w.Health, w.Startup, w.Liveness = &plan.Health{Kind: plan.HealthGRPC, Port: 9000}, exec, exec
	w.Resources = &plan.Resources{CPU: "1m", Memory: "1Mi"}
	w.Running = plan.Running{
		Autoscale: &plan.Autoscale{Min: 1, Max: 5, CPU: "80%", Memory: "1Gi"}, RBAC: []plan.Rule{{Groups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}},
		Disruption: &plan.Disruption{MaxUnavailable: "50%"}, Strategy: &plan.Strategy{Surge: "1", Unavailable: "0"},
		Spread: []plan.Spread{{Over: "kubernetes.io/hostname"}}, Network: &plan.Network{From: []string{"web"}},
		Annotations: map[string]string{"a": "b"}, PreStop: exec, Termination: plan.Duration(5 * time.Second),
	}
	return s
}

// TestRunning deploys services with each argument about ports, checks and running, stops
// and starts them, and deploys them again. The autoscaled one keeps its replicas.
func TestRunning(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	c := client(t, config)
	all, daemon := withEverything("all"), container("daemon")
	daemon.Workload.Daemon = true
	b.deploy(all)
	d := b.deploy(daemon)
	services, err := c.CoreV1().Services(b.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]corev1.ServiceType{}
	for _, s := range services.Items {
		types[s.Name] = s.Spec.Type
	}
	if types["all"] != corev1.ServiceTypeClusterIP || types["all-nodeport"] != corev1.ServiceTypeNodePort || types["all-headless"] != corev1.ServiceTypeClusterIP || len(types) != 4 {
		t.Errorf("the Services are %v", types)
	}
	replicas := func(want int32, when string) {
		t.Helper()
		got, err := c.AppsV1().Deployments(b.namespace).Get(t.Context(), "all", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if *got.Spec.Replicas != want {
			t.Errorf("%s: %d replicas, want %d", when, *got.Spec.Replicas, want)
		}
	}
	pods := func(want int32, when string) {
		t.Helper()
		got, err := c.AppsV1().DaemonSets(b.namespace).Get(t.Context(), "daemon", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status.DesiredNumberScheduled != want {
			t.Errorf("%s: the DaemonSet is to have %d pods, want %d", when, got.Status.DesiredNumberScheduled, want)
		}
	}
	act := func(action runtime.Action, r runtime.Release) {
		t.Helper()
		if err := b.Act(t.Context(), action, r, discard); err != nil {
			t.Fatal(explained(err))
		}
	}
	scale, err := c.AppsV1().Deployments(b.namespace).GetScale(t.Context(), "all", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = 3
	if _, err := c.AppsV1().Deployments(b.namespace).UpdateScale(t.Context(), "all", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	all.Workload.Annotations = map[string]string{"a": "c"}
	a := b.deploy(all)
	replicas(3, "deployed again")
	pods(1, "deployed")
	for _, r := range []runtime.Release{a, d} {
		act(runtime.Stop, r)
	}
	replicas(0, "stopped")
	pods(0, "stopped")
	for _, r := range []runtime.Release{a, d} {
		act(runtime.Start, r)
	}
	replicas(3, "started")
	pods(1, "started")
	act(runtime.Stop, d)
	daemon.Workload.Annotations = map[string]string{"a": "b"}
	b.deploy(daemon)
	pods(1, "deployed after a stop")
}
