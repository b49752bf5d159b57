package render_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/render"
)

func TestMain(m *testing.M) {
	if err := render.LimitSpace(4 << 30); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testenv.Main(m)
}

// newChart returns a chart with these templates.
func newChart(name string, templates map[string]string) *chart.Chart {
	c := &chart.Chart{Metadata: &chart.Metadata{APIVersion: "v2", Name: name, Version: "1.0.0"}, Values: map[string]any{}}
	for file, text := range templates {
		c.Templates = append(c.Templates, &chart.File{Name: "templates/" + file, Data: []byte(text)})
	}
	return c
}

// newRenderer returns one whose workers are this test binary, with small bounds:
// a mistake must not take the machine's memory.
func newRenderer(t testing.TB, o render.Options) *render.Renderer {
	t.Helper()
	if o.Executable == "" {
		o.Executable = os.Args[0]
	}
	if o.Memory == 0 {
		o.Memory = 256 << 20
	}
	r := render.New(o)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func job(c *chart.Chart) render.Job {
	return render.Job{Key: c.Name(), Chart: c, Release: chartutil.ReleaseOptions{Name: "web", Namespace: "shop", Revision: 1, IsInstall: true}}
}

// web returns a chart that shows all that a template can see.
func web() *chart.Chart {
	c := newChart("web", map[string]string{
		"_helpers.tpl":   `{{ define "web.name" }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}`,
		"values.yaml":    "{{- range $k, $v := .Values }}\n{{ $k }}: {{ $v }} {{ kindOf $v }} {{ typeOf $v }}\n{{- end }}\n",
		"release.yaml":   `{{ include "web.name" . }} {{ .Release | toJson }} {{ .Template.Name }} {{ .Template.BasePath }} {{ .Chart.Version }} {{ .Chart.IsRoot }}`,
		"caps.yaml":      `{{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.APIVersions.Has "example.com/v1" }} {{ .Capabilities.HelmVersion.Version }}`,
		"files.yaml":     `{{ (.Files.Glob "conf/*").AsConfig }} {{ .Files.Get "conf/b" | b64enc }} {{ range .Files.Lines "conf/a" }}{{ . }}{{ end }}`,
		"sub.yaml":       `{{ .Subcharts.db.Values.size }} {{ .Values.db.size }} {{ .Values.imported }}`,
		"tpl.yaml":       `{{ tpl "{{ .Values.text }}" . }} {{ required "x" .Values.text }} {{ .Values.nothing }} {{ .Values.map.at | default "none" }}`,
		"literal.yaml":   `{{ "{{ .Values.text }} {{- x -}} }} {{{" }}`,
		"NOTES.txt":      `{{ .Values.text }}`,
		"empty.yaml":     "",
		"sub/deeper.yml": "---\na: {{ .Values.float }}\n---\nb: {{ .Values.int }}\n",
	})
	c.Files = []*chart.File{{Name: "conf/a", Data: []byte("one\ntwo\n")}, {Name: "conf/b", Data: []byte{0, 255, 1}}}
	c.Values = map[string]any{"text": "own", "dropped": "own", "own": float64(3), "list": []any{float64(1), nil, "x"}}
	db := newChart("db", map[string]string{"db.yaml": `{{ .Values.size }} {{ .Values.global.a }} {{ .Chart.IsRoot }} {{ .Release.Name }}`})
	db.Values = map[string]any{"size": "1Gi", "exports": map[string]any{"imported": "from db"}}
	off := newChart("off", map[string]string{"off.yaml": "never"})
	c.AddDependency(db, off)
	c.Metadata.Dependencies = []*chart.Dependency{
		{Name: "db", Version: "1.0.0", ImportValues: []any{map[string]any{"child": "exports", "parent": "."}}},
		{Name: "off", Version: "1.0.0", Condition: "off.enabled"},
	}
	c.Schema = []byte(`{"type": "object", "properties": {"int": {"type": "integer"}}}`)
	return c
}

// TestSame: a worker gives what Helm gives, whatever a template can see.
func TestSame(t *testing.T) {
	values := func() map[string]any {
		return map[string]any{
			"text": "given", "dropped": nil, "int": int64(9007199254740993), "float": 1e6, "whole": 1.0, "small": 3, "bool": true,
			"map": map[string]any{"a": nil, "b": []any{int64(1), map[string]any{}}}, "off": map[string]any{"enabled": false}, "global": map[string]any{"a": "b"},
		}
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.APIVersions = append(caps.APIVersions, "example.com/v1")
	j := job(web())
	j.Values, j.Capabilities = values(), caps

	own := web() // Helm changes what it is given
	byHelm := values()
	if err := chartutil.ProcessDependenciesWithMerge(own, byHelm); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(own, byHelm, j.Release, caps)
	if err != nil {
		t.Fatal(err)
	}
	want, err := engine.Render(own, all)
	if err != nil {
		t.Fatal(err)
	}
	r := newRenderer(t, render.Options{})
	for name, r := range map[string]*render.Renderer{"worker": r, "the same worker": r, "this process": render.New(render.Options{})} {
		got, err := r.Render(t.Context(), j)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-helm +got):\n%s", name, diff)
		}
	}

	// Helm itself makes the same of the chart with its templates replaced.
	before := len(own.Templates)
	restore := render.Fix(own, want)
	got, err := engine.Render(own, all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Fix (-want +got):\n%s", diff)
	}
	restore()
	if got, err = engine.Render(own, all); err != nil || cmp.Diff(want, got) != "" || len(own.Templates) != before {
		t.Errorf("restored: %v, %v", got, err)
	}

	j.Values["int"] = "no integer"
	var texts []string
	for _, r := range []*render.Renderer{r, render.New(render.Options{})} {
		for _, check := range []bool{true, false} {
			j.Check = check
			_, err := r.Render(t.Context(), j)
			texts = append(texts, fmt.Sprint(err))
		}
	}
	if !strings.Contains(texts[0], "got string, want integer") || texts[1] != texts[0] || texts[2] != texts[0] || texts[3] != texts[0] {
		t.Errorf("values that the schema does not allow: %q", texts)
	}
}

// TestHostile: a chart that takes too much is an error that says which template
// takes what, and the next chart is rendered all the same.
func TestHostile(t *testing.T) {
	const memory, output = "template evil/templates/bomb.yaml takes more than 256 MiB of memory", "template evil/templates/bomb.yaml takes more than 1 MiB of output"
	const fix = " to be rendered: correct the chart, or its values"
	r := newRenderer(t, render.Options{Output: 1 << 20, Objects: 1000, Time: time.Minute})
	good := job(newChart("good", map[string]string{"a.yaml": "a: {{ .Release.Name }}"}))
	for _, tt := range []struct {
		name, template string
		want           []string
	}{
		{"range until", `{{ range until 2000000000 }}x{{ end }}`, []string{memory}},
		{"range of a number", `{{ range 2000000000 }}xxxxxxxxxxxxxxxx{{ end }}`, []string{memory}},
		{"nested", `{{ range until 10000 }}{{ range until 10000 }}{{ range until 10000 }}xxxxxxxxxx{{ end }}{{ end }}{{ end }}`, []string{memory}},
		{"repeat", `{{ repeat 1000000000 "x" }}`, []string{memory}},
		{"repeat twice", `{{ repeat 100000 (repeat 100000 "x") }}`, []string{memory}},
		{"randAlphaNum", `{{ randAlphaNum 2000000000 }}`, []string{memory}},
		{"recursion", `{{ define "a" }}{{ include "a" . }}{{ include "a" . }}{{ end }}{{ include "a" . }}`, []string{memory, "rendering template has a nested reference name"}},
		{"template", `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, []string{"exceeded maximum template depth", memory}},
		{"many objects", `{{ range until 40000 }}---
apiVersion: v1
kind: ConfigMap
metadata: {name: a{{ . }}}
{{ end }}`, []string{output}},
		{"many small objects", `{{ range until 2000 }}---
a: 1
{{ end }}`, []string{"template evil/templates/bomb.yaml takes more than 1000 objects"}},
		{"much output", `{{ repeat 2000000 "x" }}`, []string{output}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			evil := newChart("evil", map[string]string{"bomb.yaml": tt.template, "a.yaml": "a: 1"})
			j := job(evil)
			j.Key += tt.name
			_, err := r.Render(t.Context(), j)
			if err == nil {
				t.Fatal("it was rendered")
			}
			for _, want := range tt.want {
				var bound *render.BoundError
				if strings.Contains(err.Error(), want) && (!strings.HasPrefix(want, "template evil") || errors.As(err, &bound) && err.Error() == want+fix) {
					want = ""
				}
				if want == "" {
					if _, err := r.Render(t.Context(), good); err != nil {
						t.Errorf("the next chart: %v", err)
					}
					return
				}
			}
			t.Errorf("Render = %.300v\nwant %q", err, tt.want)
		})
	}
}

// endless does not end, and takes no memory.
const endless = `{{ range until 100000 }}{{ range until 100000 }}{{ if false }}x{{ end }}{{ end }}{{ end }}`

// TestTime: rendering ends when it takes too long.
func TestTime(t *testing.T) {
	r := newRenderer(t, render.Options{Time: 2 * time.Second})
	_, err := r.Render(t.Context(), job(newChart("evil", map[string]string{"slow.yaml": endless, "z.yaml": "a: 1"})))
	if want := "template evil/templates/slow.yaml takes more than 2s to be rendered: correct the chart, or its values"; err == nil || err.Error() != want {
		t.Errorf("Render = %v\nwant %s", err, want)
	}
}

// TestCancel: rendering ends with its context, with the cause, also of one that
// waits for its turn.
func TestCancel(t *testing.T) {
	r := newRenderer(t, render.Options{Workers: 1})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	asked := make(chan struct{}, 1)
	j := job(newChart("evil", map[string]string{"slow.yaml": `{{ lookup "v1" "Secret" "" "a" }}` + endless}))
	j.Lookup = func(string, string, string, string) (map[string]any, error) {
		asked <- struct{}{}
		return nil, nil
	}
	errs := make(chan error, 2)
	go func() {
		_, err := r.Render(ctx, j)
		errs <- err
	}()
	<-asked // it renders
	go func() {
		_, err := r.Render(ctx, j)
		errs <- err
	}()
	cancel(why)
	for range 2 {
		if err := <-errs; !errors.Is(err, why) {
			t.Errorf("Render = %v, want %v", err, why)
		}
	}
	if _, err := r.Render(t.Context(), job(newChart("good", map[string]string{"a.yaml": "a: 1"}))); err != nil {
		t.Error(err)
	}
}
