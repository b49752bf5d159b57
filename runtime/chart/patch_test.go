package chart

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/plan"
)

// patchedService is a service with what patches change.
func patchedService(patches ...plan.Patch) plan.Service {
	s := plan.Service{Name: "api", Images: []plan.NamedImage{{Name: "proxy"}}}
	s.Workload = plan.Workload{
		Replicas: 2, Ports: []plan.Port{{Number: 8080, Name: "http", Protocol: "TCP"}, {Number: 9090, Name: "metrics", Protocol: "TCP"}},
		Env: []plan.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}, Args: []string{"x", "y"},
		Volumes: []plan.Volume{{Name: "data", Path: "/data", Size: "1Gi"}},
	}
	s.Workload.Sidecars = []plan.PodContainer{{Name: "proxy"}}
	s.Workload.Patches.Patches = patches
	return s
}

// objectsByKind returns the objects of a service as JSON, by kind.
func objectsByKind(t *testing.T, s plan.Service) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, text := range generatedObjects(t, s) {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var o struct{ Kind string }
		if err := json.Unmarshal(data, &o); err != nil {
			t.Fatal(err)
		}
		out[o.Kind] = data
	}
	return out
}

// normal returns JSON with the lists of objects in an order that does not depend on how they
// were merged.
func normal(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
			if len(v) > 0 {
				if _, ok := v[0].(map[string]any); ok {
					slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
				}
			}
		}
	}
	walk(v)
	return v
}

// TestMergeIsKubernetes: a strategic merge has the result that Kubernetes gives it.
func TestMergeIsKubernetes(t *testing.T) {
	before := objectsByKind(t, patchedService())
	for _, tt := range []struct{ kind, merge string }{
		{"Deployment", `{"spec": {"replicas": 5, "paused": true}}`},
		{"Deployment", `{"metadata": {"annotations": {"a/b": "c", "d": "e"}, "labels": {"x": "1"}}}`},
		{"Deployment", `{"spec": {"template": {"spec": {"hostNetwork": true, "priorityClassName": "high", "terminationGracePeriodSeconds": null}}}}`},
		{"Deployment", `{"spec": {"template": {"spec": {"containers": [{"name": "api", "args": ["z"], "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]}}}}`},
		{"Deployment", `{"spec": {"template": {"spec": {"containers": [{"name": "api", "env": [{"name": "A", "$patch": "delete"}], "securityContext": {"allowPrivilegeEscalation": null, "capabilities": {"add": ["NET_ADMIN"]}}}]}}}}`},
		{"Deployment", `{"spec": {"template": {"spec": {"containers": [{"name": "more", "image": "more:1"}], "volumes": [{"name": "data", "persistentVolumeClaim": {"readOnly": true}}, {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]}}}}`},
		{"Deployment", `{"spec": {"template": {"spec": {"containers": [{"name": "api", "volumeMounts": [{"mountPath": "/tmp", "name": "tmp"}], "resources": {"limits": {"cpu": 2, "example.com/x": "1"}}}]}}}}`},
		{"Deployment", `{"spec": {"template": {"spec": {"initContainers": [{"name": "proxy", "$patch": "delete"}]}}}}`},
		{"Deployment", `{"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}, "template": {"spec": {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}}}}`},
		{"Deployment", `{"metadata": {}, "spec": {"template": {"spec": {"securityContext": {}, "nodeSelector": {}, "volumes": [{"name": "tmp", "emptyDir": {}}]}}}}`},
		{"Service", `{"spec": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"], "ports": [{"port": 8080, "nodePort": 30080}, {"port": 53, "protocol": "UDP", "name": "dns"}]}}`},
	} {
		var merge plan.Values
		if err := json.Unmarshal([]byte(tt.merge), &merge); err != nil {
			t.Fatal(err)
		}
		var typ any = appsv1.Deployment{}
		if tt.kind == "Service" {
			typ = corev1.Service{}
		}
		want, err := strategicpatch.StrategicMergePatch(before[tt.kind], []byte(tt.merge), typ)
		if err != nil {
			t.Fatal(err)
		}
		after := objectsByKind(t, patchedService(plan.Patch{Kind: tt.kind, Merge: merge}))
		if diff := cmp.Diff(normal(t, want), normal(t, after[tt.kind])); diff != "" {
			t.Errorf("%s (-kubernetes +chart):\n%s", tt.merge, diff)
		}
		for kind, data := range before {
			if diff := cmp.Diff(normal(t, data), normal(t, after[kind])); kind != tt.kind && diff != "" {
				t.Errorf("%s changes %s:\n%s", tt.merge, kind, diff)
			}
		}
		if tt.kind == "Deployment" && !strings.Contains(string(after[tt.kind]), `"containers":[{"`) {
			t.Errorf("%s: no containers", tt.merge)
		}
	}
}

// TestJSONPatchIsStandard: a JSON patch has the result of RFC 6902.
func TestJSONPatchIsStandard(t *testing.T) {
	before := objectsByKind(t, patchedService())
	for _, patch := range []string{
		`[{"op": "replace", "path": "/spec/replicas", "value": 7}]`,
		`[{"op": "add", "path": "/metadata/annotations", "value": {}}, {"op": "add", "path": "/metadata/annotations/a~1b", "value": "c"}]`,
		`[{"op": "remove", "path": "/spec/template/spec/containers/0/args/0"}]`,
		`[{"op": "add", "path": "/spec/template/spec/containers/0/args/1", "value": "between"}]`,
		`[{"op": "add", "path": "/spec/template/spec/containers/0/args/2", "value": "end"}, {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "last"}]`,
		`[{"op": "replace", "path": "/spec/template/spec/containers/0/env/1/value", "value": "9"}, {"op": "test", "path": "/spec/replicas", "value": 2}]`,
		`[{"op": "add", "path": "/spec/template/spec/containers/0/env/0", "value": {"name": "ZERO", "value": "0"}}]`,
	} {
		var ops []plan.Values
		if err := json.Unmarshal([]byte(patch), &ops); err != nil {
			t.Fatal(err)
		}
		standard, err := jsonpatch.DecodePatch([]byte(patch))
		if err != nil {
			t.Fatal(err)
		}
		want, err := standard.Apply(before["Deployment"])
		if err != nil {
			t.Fatal(err)
		}
		after := objectsByKind(t, patchedService(plan.Patch{Kind: "Deployment", JSON: ops}))
		var w, g any
		if err := json.Unmarshal(want, &w); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(after["Deployment"], &g); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, g); diff != "" {
			t.Errorf("%s (-standard +chart):\n%s", patch, diff)
		}
	}
}

// TestPatchFails: a patch that changes nothing of what there is fails the rendering, with
// the names of what there is.
func TestPatchFails(t *testing.T) {
	json := func(op, path string, v any) plan.Patch {
		o := plan.Values{"op": op, "path": path}
		if v != nil {
			o["value"] = v
		}
		return plan.Patch{Kind: "Deployment", JSON: []plan.Values{o}}
	}
	for _, tt := range []struct {
		patch plan.Patch
		want  string
	}{
		{plan.Patch{Kind: "Ingress", Merge: plan.Values{"spec": map[string]any{"ingressClassName": "x"}}}, "patch 0: there is no Ingress; the objects are Deployment api, Service api"},
		{plan.Patch{Kind: "Deployment", Name: "web", Merge: plan.Values{"spec": map[string]any{"paused": true}}}, "patch 0: there is no Deployment web"},
		{json("replace", "/spec/paused", true), "patch 0 of Deployment api: paused is not there"},
		{json("remove", "/spec/template/spec/containers/9", nil), "containers has no element 9"},
		{json("test", "/spec/replicas", int64(3)), "replicas is 2, not 3"},
	} {
		s := patchedService(tt.patch)
		_, err := podIn(t, s, "v1.34.0")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.patch, err, tt.want)
		}
	}
}
