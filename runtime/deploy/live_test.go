package deploy_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

func newInspector(t testing.TB, config *rest.Config) *inspect.Inspector {
	t.Helper()
	i, err := inspect.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestLive: the live state takes five requests, whatever is deployed, and is empty for a
// namespace that does not exist.
func TestLive(t *testing.T) {
	t.Parallel()
	config, asked := counting(testenv.Cluster(t))
	d := newDeployer(t, deploy.Options{Config: config})
	ns := namespace(t, config)
	p := &plan.Plan{Pipeline: plan.Pipeline{Name: "live"}, Services: []plan.Service{container("api"), container("web"), container("agents")}}
	p.Services[1].Workload.Replicas = 2
	p.Services[2].Workload.Daemon = true
	if err := d.Prepare(t.Context(), keyOf(ns), p); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Services {
		r := releaseIn(ns, s)
		if err := d.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
			t.Fatal(err)
		}
	}
	asked.take()
	shown := newInspector(t, config)
	live, err := shown.Live(t.Context(), &runtime.Environment{Key: keyOf(ns)})
	if err != nil {
		t.Fatal(err)
	}
	if n := asked.take()["all"]; n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
	if web := live[runtime.Place{Namespace: ns, Name: "web"}]; len(live) != 3 || web == nil || web.Deployed == nil {
		t.Fatalf("live: %+v", live)
	}
	web := live[runtime.Place{Namespace: ns, Name: "web"}]
	if diff := cmp.Diff([]inspect.Workload{{Kind: "Deployment", Name: "web", Want: 2, Ready: 2, Image: testImage, Settled: true}}, web.Workloads); diff != "" {
		t.Errorf("workloads (-want +got):\n%s", diff)
	}
	agents := live[runtime.Place{Namespace: ns, Name: "agents"}]
	if diff := cmp.Diff([]inspect.Workload{{Kind: "DaemonSet", Name: "agents", Want: 1, Ready: 1, Image: testImage, Settled: true}}, agents.Workloads); diff != "" {
		t.Errorf("workloads (-want +got):\n%s", diff)
	}
	if !web.Deployed.Ready || web.Deployed.Revision != 1 || time.Since(web.Updated) > time.Hour || len(web.Pods) != 2 || !web.Pods[0].Ready {
		t.Errorf("web: %+v of %+v", web, web.Deployed)
	}
	none, err := shown.Live(t.Context(), &runtime.Environment{Key: keyOf("there-is-no-such-namespace")})
	if err != nil || len(none) > 0 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
}

// TestChanges: the changes of a deploy are shown object by object, without unchanged
// objects.
func TestChanges(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	d := newDeployer(t, deploy.Options{Config: config})
	ns := namespace(t, config)
	s := container("api")
	p := &plan.Plan{Pipeline: plan.Pipeline{Name: "changes"}, Services: []plan.Service{s}}
	if err := d.Prepare(t.Context(), keyOf(ns), p); err != nil {
		t.Fatal(err)
	}
	r := releaseIn(ns, s)
	look := func(r runtime.Release, gone bool) (kinds []string) {
		t.Helper()
		changes, err := d.Changes(t.Context(), r, gone)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			kinds = append(kinds, fmt.Sprintf("%s %v %v", c.Kind, c.Before != "", c.After != ""))
		}
		return kinds
	}
	if diff := cmp.Diff([]string{"Deployment false true", "Service false true", "ServiceAccount false true"}, look(r, false)); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	if err := d.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
		t.Fatal(err)
	}
	if got := look(r, false); got != nil {
		t.Errorf("unchanged: %v", got)
	}
	r.Service.Workload.Env = []plan.EnvVar{{Name: "TITLE", Value: "Shop"}}
	if diff := cmp.Diff([]string{"Deployment true true"}, look(r, false)); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Deployment true false", "Service true false", "ServiceAccount true false"}, look(r, true)); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
}

// BenchmarkLive reads a namespace with 500 releases of one pod each. It fails if this takes
// more than five requests.
func BenchmarkLive(b *testing.B) {
	config, asked := counting(testenv.Cluster(b))
	ns := namespace(b, config)
	fill(b, config, ns, 500)
	for b.Loop() {
		shown := newInspector(b, config) // like that of a new process
		asked.take()
		live, err := shown.Live(b.Context(), &runtime.Environment{Key: keyOf(ns)})
		if err != nil || len(live) != 500 {
			b.Fatalf("%d releases, %v", len(live), err)
		}
		if n := asked.take()["all"]; n > 5 {
			b.Errorf("%d requests, want 5", n)
		}
	}
}

// fill creates the objects of n releases, without Helm.
func fill(b *testing.B, config *rest.Config, ns string, n int) {
	b.Helper()
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 1000, 1000
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	if _, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	p := &plan.Plan{}
	for i := range n {
		p.Services = append(p.Services, plan.Service{Name: fmt.Sprintf("svc-%d", i)})
	}
	each(b, p, func(s plan.Service) error {
		labels := map[string]string{"app.kubernetes.io/instance": s.Name}
		pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: testImage}}}
		secret := &corev1.Secret{Type: "helm.sh/release.v1", Data: map[string][]byte{"release": make([]byte, 8<<10)}, ObjectMeta: metav1.ObjectMeta{
			Name: "sh.helm.release.v1." + s.Name + ".v1", Labels: map[string]string{"owner": "helm", "name": s.Name, "status": "deployed", "version": "1"},
		}}
		if _, err := c.CoreV1().Secrets(ns).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			return err
		}
		none := int32(0)
		_, err := c.AppsV1().Deployments(ns).Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: s.Name, Annotations: map[string]string{"meta.helm.sh/release-name": s.Name}},
			Spec: appsv1.DeploymentSpec{Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod}},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, err = c.CoreV1().Pods(ns).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: s.Name + "-0", Labels: labels}, Spec: pod}, metav1.CreateOptions{})
		return err
	})
}
