package deploy_test

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestStopStart checks that a stop records what a deploy restores: replicas that the chart
// does not set, CronJobs, and a new revision of a stopped release.
func TestStopStart(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	dir := t.TempDir()
	b := newBench(t, deploy.Options{Config: config, Dir: dir})
	s := writeChart(t, dir, "web", map[string]string{
		"templates/web.yaml": workload("apps/v1", "Deployment", selector, ""),
		"templates/set.yaml": workload("apps/v1", "StatefulSet", "replicas: 2\n  serviceName: x\n  "+selector, ""),
		"templates/cron.yaml": `
apiVersion: batch/v1
kind: CronJob
metadata: {name: {{ .Release.Name }}}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: nginx}]}}}}
`,
	})
	c := client(t, config)
	r := b.deploy(s)
	scale := func(want int32) {
		t.Helper()
		d, err := c.AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		set, err := c.AppsV1().StatefulSets(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		cron, err := c.BatchV1().CronJobs(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if *d.Spec.Replicas != want || (*set.Spec.Replicas == 0) != (want == 0) || *cron.Spec.Suspend != (want == 0) {
			t.Errorf("%d and %d replicas, suspended %v; want %d", *d.Spec.Replicas, *set.Spec.Replicas, *cron.Spec.Suspend, want)
		}
		if want > 0 {
			for _, a := range []map[string]string{d.Annotations, set.Annotations, cron.Annotations} {
				if a["pipelinefile.github.io/replicas"] != "" || a["pipelinefile.github.io/suspend"] != "" {
					t.Errorf("the note of the stop is still there: %v", a)
				}
			}
		}
	}
	// The Deployment is scaled manually, as by an autoscaler.
	d, err := c.AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	three := int32(3)
	d.Spec.Replicas = &three
	if _, err := c.AppsV1().Deployments(b.namespace).Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		t.Helper()
		for range 2 {
			if err := b.Act(t.Context(), runtime.Stop, r, discard); err != nil {
				t.Fatal(explained(err))
			}
		}
		scale(0)
		if d := b.deployed("web"); d.Ready || !d.Stopped || d.Status != "deployed" {
			t.Errorf("stopped, %+v is deployed", d)
		}
	}
	stop()
	for range 2 {
		if err := b.Act(t.Context(), runtime.Start, r, discard); err != nil {
			t.Fatal(explained(err))
		}
		scale(3)
		if d := b.deployed("web"); !d.Ready || d.Stopped || d.Revision != 1 || d.Fingerprint != r.Fingerprint {
			t.Errorf("started, %+v is deployed, want the same revision", d)
		}
	}
	stop()
	if err := b.Act(t.Context(), runtime.Deploy, r, discard); err != nil {
		t.Fatal(explained(err))
	}
	scale(3)
	if d := b.deployed("web"); !d.Ready || d.Revision != 1 {
		t.Errorf("started, %+v is deployed, want the same revision", d)
	}
	stop()
	s.Values = map[string]any{"tag": 2}
	b.deploy(s)
	scale(3)
	if d := b.deployed("web"); !d.Ready || d.Revision != 2 {
		t.Errorf("deployed again, %+v is deployed", d)
	}
	if err := b.Act(t.Context(), runtime.Stop, releaseIn(b.namespace, plan.Service{Name: "none"}), discard); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Stop of what is not there = %v", err)
	}
}

// TestRestart checks that pods are replaced, and that a deploy has nothing to do afterwards.
func TestRestart(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	b := newBench(t, deploy.Options{Config: config})
	r := b.deploy(container("api"))
	pod := func() string {
		t.Helper()
		list, err := client(t, config).CoreV1().Pods(b.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=api"})
		if err != nil || len(list.Items) == 0 {
			t.Fatalf("no pod: %v", err)
		}
		for _, p := range list.Items {
			if p.DeletionTimestamp == nil {
				return p.Name
			}
		}
		return ""
	}
	before, was := pod(), b.deployed("api")
	if err := b.Act(t.Context(), runtime.Restart, r, discard); err != nil {
		t.Fatal(explained(err))
	}
	if pod() == before {
		t.Error("the pod is the same")
	}
	if got := b.deployed("api"); got != was {
		t.Errorf("after a restart %+v is deployed, before it was %+v", got, was)
	}
}
