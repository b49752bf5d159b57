package deploy_test

import (
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

const autoscaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: {{ .Release.Name }}}
spec:
  minReplicas: 1
  maxReplicas: 9
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .Release.Name }}}
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
`

// TestScaled checks that an object that an autoscaler scales keeps its replicas, also if
// its chart sets them: at a deploy, after a stop, and when the chart begins to have the
// autoscaler. The chart's replicas apply again without it.
func TestScaled(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	c := client(t, config)
	tag := 1
	deployed := func(name string, files map[string]string) runtime.Release {
		t.Helper()
		s := writeChart(t, dir, name, files)
		tag++
		s.Values = map[string]any{"tag": tag}
		b.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: dir}) // one reads a chart once
		return b.deploy(s)
	}
	has := func(name string, want int32, when string) {
		t.Helper()
		d, err := c.AppsV1().Deployments(b.namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if *d.Spec.Replicas != want {
			t.Errorf("%s %s: %d replicas, want %d", name, when, *d.Spec.Replicas, want)
		}
	}
	scale := func(name string, to int32) {
		t.Helper()
		s, err := c.AppsV1().Deployments(b.namespace).GetScale(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Spec.Replicas = to
		if _, err := c.AppsV1().Deployments(b.namespace).UpdateScale(t.Context(), name, s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	act := func(a runtime.Action, r runtime.Release) {
		t.Helper()
		if err := b.Act(t.Context(), a, r, discard); err != nil {
			t.Fatal(explained(err))
		}
	}
	one := map[string]string{"templates/web.yaml": workload("apps/v1", "Deployment", "replicas: 1\n  "+selector, ""), "templates/hpa.yaml": autoscaler}
	none := map[string]string{"templates/web.yaml": workload("apps/v1", "Deployment", selector, ""), "templates/hpa.yaml": autoscaler}

	deployed("web", one)
	has("web", 1, "at first")
	scale("web", 5)
	r := deployed("web", one)
	has("web", 5, "after a deploy")
	act(runtime.Stop, r)
	has("web", 0, "stopped")
	act(runtime.Start, r)
	has("web", 5, "started")
	act(runtime.Stop, r)
	deployed("web", one)
	has("web", 5, "deployed after a stop")
	deployed("web", none)
	has("web", 5, "no longer set by the chart")
	deployed("web", map[string]string{"templates/web.yaml": workload("apps/v1", "Deployment", "replicas: 2\n  "+selector, ""), "templates/hpa.yaml": ""})
	has("web", 2, "without the autoscaler")
	deployed("web", none)
	has("web", 2, "when the chart has the autoscaler again")

	s := writeChart(t, dir, "web", one)
	s.Values = map[string]any{"tag": 1000}
	b.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: dir})
	var warned []string
	_, err := b.Check(t.Context(), b.release(s), func(e runtime.Body) {
		if w, ok := e.(runtime.Warned); ok {
			warned = append(warned, w.Diagnostic.Message)
		}
	})
	if want := "web: its chart sets 1 replicas of deployment web, which its autoscaler web changes: a deploy keeps those that there are"; err != nil || len(warned) != 1 || warned[0] != want {
		t.Errorf("Check = %v, warns %q, want %q", err, warned, want)
	}

	// Somebody else's autoscaler.
	plain := map[string]string{"templates/web.yaml": one["templates/web.yaml"]}
	deployed("api", plain)
	scale("api", 3)
	deployed("api", plain)
	has("api", 1, "scaled by hand")
	_, err = c.AutoscalingV2().HorizontalPodAutoscalers(b.namespace).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "api"},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 9, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "api"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale("api", 3)
	deployed("api", plain)
	has("api", 3, "scaled by an autoscaler of others")
}
