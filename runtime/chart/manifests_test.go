package chart_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/render"
)

// TestManifests: a chart of manifests renders to them unchanged, CRDs are apart, and a
// changed file is another chart once the shelf is told.
func TestManifests(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b}\n"
	write("a.yaml", "# text\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {t: \"{{ .Values.x }} }} {{- {{{{\"}\n---\n"+crd)
	service := plan.Service{
		Name: "extra", Type: plan.Manifests,
		Manifests: []plan.ManifestSource{{File: "a.yaml"}, {Object: plan.Values{
			"apiVersion": "v1", "kind": "List", "items": []any{map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}, "stringData": map[string]any{"n": int64(9007199254740993)}}},
		}}},
	}
	shelf := chart.NewShelf(dir, t.TempDir())
	load := func() *chart.Chart {
		c, err := shelf.Chart(t.Context(), service, chart.SecretKey)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := load()
	use := chart.Use{Pipeline: "p", Environment: "e", Service: "extra"}
	files, err := c.Render(t.Context(), render.New(render.Options{}), chartutil.ReleaseOptions{Name: "extra", Namespace: "p-e", Revision: 1}, use, chart.Cluster{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"extra/templates/01-a.yaml":        "---\n# text\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {t: \"{{ .Values.x }} }} {{- {{{{\"}\n",
		"extra/templates/02-secret-s.yaml": "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  \"n\": 9007199254740993\n",
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("rendered (-want +got):\n%s", diff)
	}
	whole, err := c.Copy()
	if err != nil {
		t.Fatal(err)
	}
	if crds := whole.CRDObjects(); !c.HasCRDs() || len(crds) != 1 || string(crds[0].File.Data) != "---\n"+crd {
		t.Errorf("CRDs: %v", crds)
	}
	if values := c.Values(use); len(values) != 0 {
		t.Errorf("it gets the values %v", values)
	}

	write("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}\n")
	if load().Digest != c.Digest {
		t.Error("the chart has changed before the shelf was told")
	}
	shelf.Changed([]string{"b.yaml"})
	if load().Digest != c.Digest {
		t.Error("the chart has changed because of another file")
	}
	shelf.Changed([]string{"a.yaml"})
	changed := load()
	if changed.Digest == c.Digest {
		t.Error("the chart has not changed with its file")
	}
	check := func(c *chart.Chart) string {
		if err := c.Check(context.Background(), render.New(render.Options{}), "p-e", use); err != nil {
			return err.Error()
		}
		return ""
	}
	if got := check(c); got != "" {
		t.Errorf("Check = %s", got)
	}
	if got := check(changed); !strings.Contains(got, `ConfigMap a is in namespace "other", but the release is in "p-e"`) {
		t.Errorf("Check of another namespace = %q", got)
	}
	service.Manifests = append(service.Manifests, plan.ManifestSource{File: "a.yaml"})
	if got := check(load()); !strings.Contains(got, "other") {
		t.Errorf("Check = %q", got)
	}
	write("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	shelf.Changed(nil)
	if got := check(load()); got != "ConfigMap a is there twice" {
		t.Errorf("Check of an object that is there twice = %q", got)
	}
	if err := shelf.WriteManifests(t.Context(), filepath.Join(t.TempDir(), "out"), "p-e", service); err == nil || err.Error() != "write a chart for extra: ConfigMap a is there twice" {
		t.Errorf("WriteManifests of an object that is there twice: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	shelf.Changed(nil)
	if _, err := shelf.Chart(t.Context(), service, chart.SecretKey); err == nil || err.Error() != "manifests of extra: manifest a.yaml: no such file or directory" {
		t.Errorf("Chart without the file: %v", err)
	}
}
