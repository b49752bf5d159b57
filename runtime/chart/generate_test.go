package chart

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	helmengine "helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const testImage = "registry.test/shop/api@sha256:0000000000000000000000000000000000000000000000000000000000000001"

// testCapabilities are those of the cluster that charts are rendered for.
func testCapabilities() *chartutil.Capabilities {
	c := *chartutil.DefaultCapabilities
	c.KubeVersion = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}
	return &c
}

// rendered returns what a chart installs, as one text.
func rendered(t *testing.T, c *Chart, u Use) string {
	t.Helper()
	copied, err := c.Copy()
	if err != nil {
		t.Fatal(err)
	}
	values := c.Values(u)
	if err := chartutil.ProcessDependenciesWithMerge(copied, values); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(copied, values, chartutil.ReleaseOptions{Name: u.Service, Namespace: "shop-dev", Revision: 1, IsInstall: true}, testCapabilities())
	if err != nil {
		t.Fatal(err)
	}
	out, err := helmengine.Render(copied, all)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(out)) {
		if strings.TrimSpace(out[name]) != "" && !strings.HasSuffix(name, ".tpl") {
			fmt.Fprintf(&b, "# %s\n%s\n", name, strings.TrimSpace(out[name]))
		}
	}
	return b.String()
}

// TestGenerate compares the values.yaml and the objects of the charts that are
// made for the services in testdata with what is written there.
func TestGenerate(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			section := func(name string) *txtar.File {
				i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
				if i < 0 {
					archive.Files = append(archive.Files, txtar.File{Name: name})
					i = len(archive.Files) - 1
				}
				return &archive.Files[i]
			}
			var service plan.Service
			if err := json.Unmarshal(section("service.json").Data, &service); err != nil {
				t.Fatal(err)
			}
			c, err := NewShelf(t.TempDir(), t.TempDir()).Chart(t.Context(), service, SecretKey)
			if err != nil {
				t.Fatal(err)
			}
			use := Use{Pipeline: "shop", Environment: "dev", Service: service.Name, Image: testImage, Images: testImages(service), Secrets: "5ec2e7", Values: service.Values}
			if err := c.Check(t.Context(), ours, "shop-dev", use); err != nil {
				t.Errorf("Check = %v", err)
			}
			sameAsLoaded(t, c, service, use)
			objects := rendered(t, c, use)
			checkYAML(t, objects)
			lintChart(t, service, use)
			var values []byte
			copied, err := c.Copy()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range copied.Raw {
				if f.Name == "values.yaml" {
					values = f.Data
				}
			}
			for name, got := range map[string][]byte{"values.yaml": values, "objects.yaml": []byte(objects)} {
				if *update {
					section(name).Data = got
				} else if diff := cmp.Diff(string(section(name).Data), string(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(archive), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// testImages returns the images that a service has besides its own.
func testImages(s plan.Service) map[string]string {
	if len(s.Images) == 0 {
		return nil
	}
	out := make(map[string]string)
	for _, im := range s.Images {
		out[im.Name] = "registry.test/shop/" + im.Name + "@sha256:0000000000000000000000000000000000000000000000000000000000000002"
	}
	return out
}

// generated returns the chart that is generated for a service, as Helm reads it.
func generated(t *testing.T, s plan.Service) *helmchart.Chart {
	t.Helper()
	list, err := newGenerator().generate(s, SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadFiles(s, list)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sameAsLoaded makes sure that what is said of a chart before Helm has read it is
// what is said of it afterwards.
func sameAsLoaded(t *testing.T, c *Chart, s plan.Service, u Use) {
	t.Helper()
	loaded, err := newChart(generated(t, s), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Digest != loaded.Digest || c.schema != loaded.schema || c.HasCRDs() != loaded.HasCRDs() {
		t.Errorf("before it is loaded, it is %s, schema %v, kinds %v; then %s, schema %v, kinds %v",
			c.Digest, c.schema, c.HasCRDs(), loaded.Digest, loaded.schema, loaded.HasCRDs())
	}
	if diff := cmp.Diff(loaded.Values(u), c.Values(u)); diff != "" {
		t.Errorf("values (-loaded +before):\n%s", diff)
	}
}

// checkYAML makes sure that all documents are YAML without keys that are there twice.
func checkYAML(t *testing.T, objects string) {
	t.Helper()
	for _, part := range strings.Split("\n"+objects, "\n# ") {
		name, text, _ := strings.Cut(part, "\n")
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, doc := range strings.Split(text, "\n---\n") {
			var v any
			if err := yaml.UnmarshalStrict([]byte(doc), &v); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, doc)
			}
		}
	}
}

// lintChart holds the chart as it is written for its team to what helm lint says,
// with the values of a deploy and without any.
func lintChart(t *testing.T, service plan.Service, use Use) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), service.Name)
	if err := Write(dir, service); err != nil {
		t.Fatal(err)
	}
	c, err := NewShelf(filepath.Dir(dir), t.TempDir()).Chart(t.Context(), plan.Service{Chart: &plan.Chart{Ref: service.Name}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range []map[string]any{c.Values(use), {}} {
		for _, m := range lint.AllWithKubeVersion(dir, values, "shop-dev", &testCapabilities().KubeVersion).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("helm lint: %v", m)
			}
		}
	}
	// Given to its team, the chart deploys what was deployed before.
	generated, err := NewShelf("", "").Chart(t.Context(), service, SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rendered(t, generated, use), rendered(t, c, use)); diff != "" {
		t.Errorf("the chart that is written is another one (-generated +written):\n%s", diff)
	}
	if err := Write(dir, service); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("Write into a directory with a chart = %v", err)
	}
}

// TestSchema holds the schema of generated charts to their values.
func TestSchema(t *testing.T) {
	var schema struct{ Properties map[string]any }
	if err := json.Unmarshal(chartspec.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	check := &plan.Health{Kind: plan.HealthCommand, Command: []string{"true"}}
	all := plan.Service{Name: "api", Workload: plan.Workload{
		Files: []plan.File{{Path: "/a", Text: "a"}}, Probes: plan.Probes{Liveness: check, Startup: check},
		PodContainers: plan.PodContainers{Init: []plan.PodContainer{{Name: "a"}}, Sidecars: []plan.PodContainer{{Name: "b"}}},
		Running: plan.Running{
			Autoscale: &plan.Autoscale{}, Daemon: true, RBAC: make([]plan.Rule, 1), Disruption: &plan.Disruption{MinAvailable: "1"}, Strategy: &plan.Strategy{},
			Spread: make([]plan.Spread, 1), Network: &plan.Network{}, PreStop: check,
		},
	}}
	all.Workload.Patches.Patches = []plan.Patch{{Kind: "Service", Merge: plan.Values{"spec": map[string]any{"type": "NodePort"}}}}
	all.Workload.Mounts, all.Workload.Scratch = []plan.Mount{{Claim: "uploads", Path: "/srv"}}, []plan.Scratch{{Path: "/tmp"}}
	for _, service := range []plan.Service{all, {Name: "migrate", Workload: plan.Workload{Job: &plan.JobSpec{}}}} {
		for key := range generated(t, service).Values {
			keys[key] = true
		}
	}
	want, got := slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(schema.Properties))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the schema has other values than the charts (-charts +schema):\n%s", diff)
	}
}

func TestGenerateRefusesUnknownValues(t *testing.T) {
	service := plan.Service{Name: "api", Values: map[string]any{"replica": 2}}
	c, err := NewShelf("", "").Chart(t.Context(), service, SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Check(t.Context(), ours, "shop-dev", Use{Service: "api", Image: testImage, Values: service.Values})
	if err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("Check = %v, want an error about replica", err)
	}
}

func TestGenerateIsDeterministic(t *testing.T) {
	service := plan.Service{Name: "db", Workload: plan.Workload{
		Database: &plan.DatabaseSpec{Engine: "mysql", Version: "8", Storage: "1Gi"},
		Labels:   map[string]string{"a": "1", "b": "2", "c": "3"},
	}}
	g := newGenerator()
	first, err := g.generate(service, SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := g.generate(service, SecretKey)
		if err != nil {
			t.Fatal(err)
		}
		for i := range again {
			if !bytes.Equal(first[i].Data, again[i].Data) {
				t.Fatalf("%s differs:\n%s", again[i].Name, cmp.Diff(string(first[i].Data), string(again[i].Data)))
			}
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	service := plan.Service{Name: "api", Workload: plan.Workload{
		Replicas: 1, Ports: []plan.Port{{Number: 80, Name: "port-80", Protocol: "TCP"}},
		Env: []plan.EnvVar{{Name: "A", Value: "b"}}, Health: &plan.Health{Kind: plan.HealthTCP, Port: 80},
	}}
	shelf := NewShelf("", "")
	for b.Loop() {
		c, err := shelf.Chart(b.Context(), service, SecretKey)
		if err != nil {
			b.Fatal(err)
		}
		c.Values(Use{Pipeline: "shop", Image: testImage})
	}
}
