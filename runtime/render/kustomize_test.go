package render_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/runtime/render"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  template:
    spec:
      containers: [{name: web, image: "web:1"}]
`

// TestKustomize: a kustomization sees the files that it is given, and nothing else.
func TestKustomize(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(server.Close)
	base := map[string]string{"base/kustomization.yaml": "resources: [web.yaml]\n", "base/web.yaml": deployment}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string // in the result, or in the error
	}{
		{"overlay", map[string]string{
			"prod/kustomization.yaml": `
resources: [../base]
namePrefix: prod-
images: [{name: web, newTag: "2"}]
replicas: [{name: web, count: 3}]
patches: [{path: patch.yaml}]
configMapGenerator: [{name: conf, files: [a.txt], options: {disableNameSuffixHash: true}}]
`,
			"prod/patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {a: b}}\n",
			"prod/a.txt":      "text\n",
		}, []string{"name: prod-web", "image: web:2", "replicas: 3", "a: b", "name: prod-conf", "a.txt: |\n    text"}},
		{"a file that is not given", map[string]string{"prod/kustomization.yaml": "resources: [/etc/hosts]\n"}, []string{"error: ", "/etc/hosts"}},
		{"a URL", map[string]string{"prod/kustomization.yaml": "resources: [" + server.URL + "/a.yaml]\n"}, []string{"error: ", server.URL}},
		{"a repository", map[string]string{"prod/kustomization.yaml": "resources: [\"git@127.0.0.1:owner/repo\"]\n"}, []string{"error: ", "git"}},
		{"a plugin", map[string]string{
			"prod/kustomization.yaml": "generators: [g.yaml]\n",
			"prod/g.yaml":             "apiVersion: a/v1\nkind: Gen\nmetadata: {name: g, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/true}'}}\n",
		}, []string{"error: "}},
		{"a chart", map[string]string{"prod/kustomization.yaml": "helmCharts: [{name: a, repo: " + server.URL + "}]\n"}, []string{"error: ", "enable-helm"}},
		{"a cycle", map[string]string{"prod/kustomization.yaml": "resources: [../prod]\n"}, []string{"error: ", "cycle"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRenderer(t, render.Options{})
			files := map[string][]byte{}
			for name, text := range base {
				files[name] = []byte(text)
			}
			for name, text := range tt.files {
				files[name] = []byte(text)
			}
			got, err := r.Kustomize(t.Context(), tt.name, "prod", files)
			if err != nil {
				got = "error: " + err.Error()
			}
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("Kustomize = %s\nwant %q in it", got, want)
				}
			}
			again, err := r.Kustomize(t.Context(), tt.name, "prod", files)
			if err != nil {
				again = "error: " + err.Error()
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("the second time (-first +second):\n%s", diff)
			}
		})
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

// TestKustomizeBounds: a kustomization that takes too much is an error.
func TestKustomizeBounds(t *testing.T) {
	r := newRenderer(t, render.Options{Output: 1 << 20, Objects: 100})
	many := strings.Repeat("---\n"+deployment, 1)
	var objects strings.Builder
	for i := range 200 {
		objects.WriteString("---\napiVersion: v1\nkind: Secret\nmetadata: {name: s" + string(rune('a'+i%26)) + strings.Repeat("x", i) + "}\n")
	}
	for name, tt := range map[string]struct{ text, want string }{
		"objects": {objects.String(), "kustomization prod takes more than 100 objects: correct it"},
		"output":  {many + "  x: " + strings.Repeat("y", 2<<20) + "\n", "kustomization prod takes more than 1 MiB of output: correct it"},
	} {
		_, err := r.Kustomize(t.Context(), name, "prod", map[string][]byte{"prod/kustomization.yaml": []byte("resources: [a.yaml]\n"), "prod/a.yaml": []byte(tt.text)})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: Kustomize = %v, want %s", name, err, tt.want)
		}
	}
}
