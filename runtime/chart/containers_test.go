package chart

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	helmengine "helm.sh/helm/v3/pkg/engine"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
)

// podIn returns the pod that a generated chart has in a cluster of a version.
func podIn(t *testing.T, s plan.Service, version string) (*corev1.PodSpec, error) {
	t.Helper()
	c := generated(t, s)
	capabilities := *chartutil.DefaultCapabilities
	capabilities.KubeVersion = chartutil.KubeVersion{Version: version}
	values := map[string]any{"image": map[string]any{"reference": testImage}, "images": map[string]any{}}
	for name, ref := range testImages(s) {
		values["images"].(map[string]any)[name] = ref
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: s.Name, Namespace: "shop-dev"}, &capabilities)
	if err != nil {
		t.Fatal(err)
	}
	out, err := helmengine.Render(c, all)
	if err != nil {
		return nil, err
	}
	for name, text := range out {
		if !strings.HasSuffix(name, "/deployment.yaml") && !strings.HasSuffix(name, "/job.yaml") {
			continue
		}
		var object struct {
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if err := yaml.UnmarshalStrict([]byte(text), &object, yaml.DisallowUnknownFields); err != nil {
			if err := yaml.Unmarshal([]byte(text), &object); err != nil {
				t.Fatal(err)
			}
		}
		return &object.Spec.Template.Spec, nil
	}
	t.Fatal("the chart has no pod")
	return nil, nil
}

// TestSidecarsByVersion: sidecars are native where the cluster has them, and other
// containers elsewhere. The first container is the service's in both. A job needs native
// ones, because it would not end otherwise.
func TestSidecarsByVersion(t *testing.T) {
	s := plan.Service{Name: "api", Images: []plan.NamedImage{{Name: "first"}, {Name: "proxy"}}}
	s.Workload.Init = []plan.PodContainer{{Name: "first"}}
	s.Workload.Sidecars = []plan.PodContainer{{Name: "proxy"}}
	names := func(list []corev1.Container) string {
		var names []string
		for _, c := range list {
			name := c.Name
			if c.RestartPolicy != nil {
				name += " " + string(*c.RestartPolicy)
			}
			names = append(names, name)
		}
		return strings.Join(names, ", ")
	}
	for _, tt := range []struct{ version, init, containers string }{
		{"v1.28.9", "first", "api, proxy"},
		{"v1.29.0", "first, proxy Always", "api"},
		{"v1.29.0-eks-5e0fdde", "first, proxy Always", "api"},
		{"v1.34.1+k3s1", "first, proxy Always", "api"},
	} {
		pod, err := podIn(t, s, tt.version)
		if err != nil {
			t.Fatal(err)
		}
		if init, containers := names(pod.InitContainers), names(pod.Containers); init != tt.init || containers != tt.containers {
			t.Errorf("%s: init containers %s, containers %s, want %s and %s", tt.version, init, containers, tt.init, tt.containers)
		}
	}
	s.Workload.Job = &plan.JobSpec{On: plan.OnDeploy}
	if pod, err := podIn(t, s, "v1.30.0"); err != nil || names(pod.InitContainers) != "first, proxy Always" {
		t.Errorf("a job: %v", err)
	}
	const want = "api is a job with sidecars, which would keep it from ending: that needs Kubernetes 1.29 or later, and the cluster has v1.28.9"
	if _, err := podIn(t, s, "v1.28.9"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a job with sidecars in 1.28: %v", err)
	}
	s.Workload.Sidecars = nil
	if _, err := podIn(t, s, "v1.28.9"); err != nil {
		t.Errorf("a job with an init container in 1.28: %v", err)
	}
}
