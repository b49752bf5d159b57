package deploy_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// latePlan is a plan with a chart that names further images when its CRD and the ConfigMap of
// another service exist: those of the ConfigMap.
func (m mirroring) latePlan(t *testing.T, group, image, ofKind string, looked ...string) *plan.Plan {
	t.Helper()
	p := m.plan(t)
	web := writeChart(t, m.dir, "web", map[string]string{
		"crds/thing.yaml": strings.ReplaceAll(crd, "NAME.test", group),
		"templates/d.yaml": `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: ` + image + `}
      {{- if .Capabilities.APIVersions.Has "` + group + `/v1/Thing" }}
      - {name: kind, image: ` + ofKind + `}
      {{- end }}
      {{- range $name, $image := (lookup "v1" "ConfigMap" .Release.Namespace "settings").data }}
      - {name: {{ $name }}, image: {{ $image | quote }}}
      {{- end }}
`})
	web.Type, web.Stage, web.MirrorImages = plan.Helm, "two", true
	data := make(map[string]any)
	for i, ref := range looked {
		data[string(rune('a'+i))] = ref
	}
	settings := plan.Service{Name: "settings", Type: plan.Manifests, Stage: "one", MirrorImages: true, Timeout: plan.Duration(time.Minute), Manifests: []plan.ManifestSource{{Object: plan.Values{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings"}, "data": data,
	}}}}
	p.Stages = append(p.Stages, plan.Stage{Name: "two", Order: 2})
	p.Services = []plan.Service{settings, web}
	return p
}

// group returns the group of the kinds of an environment, whose CRD is deleted by the test.
func (m mirroring) group(t *testing.T) string {
	t.Helper()
	group := strings.ReplaceAll(m.key.Namespace(), "-", "") + ".test"
	client, err := dynamic.NewForConfig(testenv.Cluster(t))
	must(t, err)
	t.Cleanup(func() {
		crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
		_ = crds.Delete(t.Context(), "things."+group, metav1.DeleteOptions{})
	})
	return group
}

// TestMirroringLate: images that a chart names only when its CRDs and the objects of other
// services exist are copied by the first deploy, and the next run, of another process, finds
// nothing to do (I3).
func TestMirroringLate(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	m, up := newMirroring(t, config), newUpstream(t)
	for _, image := range []string{"nginx:1", "kind:1", "looked:1"} {
		up.push(t, image)
	}
	p := m.latePlan(t, m.group(t), up.addr+"/nginx:1", up.addr+"/kind:1", up.addr+"/looked:1")
	var mu sync.Mutex
	var states []string
	record, err := m.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: m.key, Plan: p, By: "test", Events: func(e runtime.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch body := e.Body.(type) {
		case runtime.StateChanged:
			if e.Service == "web" {
				states = append(states, string(body.State))
			}
		case runtime.Warned:
			t.Errorf("it warns: %s", body.Diagnostic.Message)
		}
	}})
	if err != nil {
		t.Fatal(explainedRun(err))
	}
	if got := strings.Join(states, " "); got != "building built deploying building deploying done" {
		t.Errorf("states %s", got)
	}
	b := &bench{t: t, namespace: m.key.Namespace()}
	containers := b.containers("web")
	if len(containers) != 3 {
		t.Fatalf("%d containers, want 3", len(containers))
	}
	for i, of := range []string{"nginx", "kind", "looked"} {
		mirrored := record.Services[1].Mirrored[up.addr+"/"+of+":1"]
		if image := containers[i].Image; !strings.HasPrefix(image, m.registry+"/mirror/") || !strings.Contains(image, "/"+of+"@sha256:") || image != mirrored {
			t.Errorf("container %d runs %s; recorded is %s", i, image, mirrored)
		}
	}
	m.Deployer = newDeployer(t, deploy.Options{Config: config, Dir: m.dir})
	for range 2 {
		again, err := m.run(t, p)
		if err != nil || again.Services[1].State != runtime.Unchanged || len(again.Services[1].Mirrored) != 3 {
			t.Errorf("the next run: %+v, %v", again.Services, err)
		}
	}
	deployed, err := m.Deployer.Deployed(t.Context(), m.key.Namespace())
	if err != nil || deployed["web"].Revision != 1 {
		t.Errorf("deployed %+v, %v", deployed["web"], err)
	}
}

// TestMirroringLateFails: if such images cannot be copied, or not within the timeout of the
// service, nothing of the release is written, and all of them are reported.
func TestMirroringLateFails(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	for _, test := range []struct {
		name    string
		looked  []string
		timeout time.Duration
		want    error
		images  int
	}{
		{"missing", []string{"/none:1", "/nginx:1", "/private/a:1", "/none:2"}, time.Minute, runtime.ErrNotFound, 3},
		{"slow", []string{"/slow/a:1"}, 5 * time.Second, runtime.ErrTimeout, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, up := newMirroring(t, config), newUpstream(t)
			up.push(t, "nginx:1")
			var looked []string
			for _, ref := range test.looked {
				looked = append(looked, up.addr+ref)
			}
			p := m.latePlan(t, m.group(t), up.addr+"/nginx:1", up.addr+"/nginx:1", looked...)
			p.Services[1].Timeout = plan.Duration(test.timeout)
			record, err := m.run(t, p)
			var run *runtime.RunError
			var images *runtime.ImagesError
			if !errors.As(err, &run) || !errors.Is(err, test.want) || !errors.As(run.Failed[0].Err, &images) || len(images.Images) != test.images {
				t.Fatalf("Run = %v, want %v of %d images", err, test.want, test.images)
			}
			if in := images.Images[0].In; in != "chart web: deployment web, container a" {
				t.Errorf("the first is in %q", in)
			}
			if advice, _ := runtime.AdviceOf(run.Failed[0].Err); !strings.Contains(advice.Do, `images = "keep"`) {
				t.Errorf("advice %q", advice.Do)
			}
			deployed, err := m.Deployer.Deployed(t.Context(), m.key.Namespace())
			if _, is := deployed["web"]; err != nil || is || record.Services[1].State != runtime.Failed {
				t.Errorf("deployed %+v, %v; %s", deployed, err, record.Services[1].State)
			}
		})
	}
}
