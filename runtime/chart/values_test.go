package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// kinds are services of the workloads that generated charts are made for.
var kinds = map[chartspec.Workload]plan.Service{
	chartspec.Service: {Name: "api", Type: plan.Container, Timeout: plan.Duration(5 * time.Minute), Workload: plan.Workload{Replicas: 1}},
	chartspec.Job:     {Name: "api", Type: plan.Job, Timeout: plan.Duration(10 * time.Minute), Workload: plan.Workload{Job: &plan.JobSpec{On: "deploy"}}},
}

// TestValuesAreTheCharts: what the language takes as values of a generated chart, the
// chart takes and renders, and what it refuses, the chart refuses or does not have.
func TestValuesAreTheCharts(t *testing.T) {
	for kind, service := range kinds {
		c, err := NewShelf("", "").Chart(t.Context(), service, SecretKey)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range chartspec.Keys() {
			for _, v := range trials(key.Shape) {
				values := map[string]any{key.Name: v}
				found := chartspec.Check(kind, values)
				err := c.Check(t.Context(), ours, "shop-dev", Use{Service: "api", Image: testImage, Values: values})
				refused := len(found) > 0
				if refused && err == nil && strings.Contains(found[0].Message, "got None") {
					continue // where a chart can do without a value, the language is stricter
				}
				if refused != (err != nil) && key.For(kind) && key.Argument == "" {
					text, _ := json.Marshal(values)
					t.Errorf("%s: the language finds %v, the chart %v", text, found, err)
				}
				if key.Argument != "" && len(found) == 0 {
					t.Errorf("%s is set by an argument, and not refused", key.Name)
				}
				if !key.For(kind) && len(found) == 0 {
					t.Errorf("%s is not of such a chart, and not refused", key.Name)
				}
			}
		}
	}
}

// trials are values of a shape, and others that are not.
func trials(s chartspec.Shape) []any {
	out := []any{nil, "x", int64(0), int64(1), int64(-1), int64(70000), 1.5, 2.0, true, []any{}, map[string]any{}, []any{int64(1)}, map[string]any{"unknown": int64(1)}, strings.Repeat("x", 16)}
	for _, word := range s.Enum {
		out = append(out, word)
	}
	for _, field := range s.Fields {
		for _, v := range trials(field.Shape) {
			out = append(out, map[string]any{field.Name: v})
		}
	}
	if s.Elem == nil {
		return out
	}
	for _, v := range trials(*s.Elem) {
		if s.Type == chartspec.Array {
			whole := map[string]any{"name": "x", "number": int64(80), "path": "/x", "size": "1Gi"}
			for _, f := range s.Elem.Fields {
				if m, ok := v.(map[string]any); ok && m[f.Name] == nil && f.Required && !slices.Contains([]string{"secret"}, f.Name) {
					m[f.Name] = whole[f.Name]
				}
			}
			out = append(out, []any{v})
		} else {
			out = append(out, map[string]any{"x": v})
		}
	}
	return out
}

// TestGenerateValuesPage: docs/values.md lists every value of generated charts with its
// defaults, as the charts have them.
func TestGenerateValuesPage(t *testing.T) {
	const page = "../../docs/values.md"
	text := valuesPage(t)
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("%s is out of date: run make generate", page)
	}
}

func valuesPage(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Values of generated charts

This page lists the values of the [charts](charts.md) that are generated for services without ` + "`chart=`" + `. It is written by ` + "`make generate`" + `.

` + "`values=`" + ` overrides these values, key by key; ` + "`None`" + ` removes a default. A key that is not listed here, or a value of another type, is an error
at evaluation: ` + "`pipe plan`, `pipe lint`" + ` and ` + "`pipe eject`" + ` find it without a cluster. If a parameter of the service has the same meaning, write the parameter:
a key that replaces an argument of the call (` + "`env`" + ` beside ` + "`env=`" + `), or what pipe sets (` + "`image.tag`" + `), is an error, too. A field that no key sets
is set by a [patch](howto/patches.md).
`)
	database := kinds[chartspec.Service]
	database.Workload.Database = &plan.DatabaseSpec{Engine: "postgresql", Version: "17", Storage: "10Gi"}
	withVolume := kinds[chartspec.Service]
	withVolume.Workload.Volumes = []plan.Volume{{Name: "data", Path: "/data", Size: "1Gi"}}
	of := generated(t, kinds[chartspec.Service]).Values
	ofJob, ofDatabase, ofVolume := generated(t, kinds[chartspec.Job]).Values, generated(t, database).Values, generated(t, withVolume).Values
	for _, key := range chartspec.Keys() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", key.Name, key.Help)
		switch {
		case !key.For(chartspec.Job):
			b.WriteString("\nNot of jobs.\n")
		case !key.For(chartspec.Service):
			b.WriteString("\nOf jobs only.\n")
		}
		if key.Argument != "" {
			fmt.Fprintf(&b, "\nOnly in the values of a service with `%s=`; `values=` cannot set it.\n", key.Argument)
			continue
		}
		value := of[key.Name]
		if !key.For(chartspec.Service) {
			value = ofJob[key.Name]
		}
		writeDefault(t, &b, "Default", key.Name, value)
		for _, other := range []struct {
			who   string
			value any
		}{{"Default of a database", ofDatabase[key.Name]}, {"Default with volumes", ofVolume[key.Name]}} {
			// What such a service says with a parameter is not a default.
			if key.For(chartspec.Service) && !slices.Contains([]string{"env", "volumes"}, key.Name) && yamlOf(t, "", other.value) != yamlOf(t, "", value) {
				writeDefault(t, &b, other.who, key.Name, other.value)
			}
		}
	}
	return b.String()
}

func writeDefault(t *testing.T, b *strings.Builder, what, name string, value any) {
	t.Helper()
	text := yamlOf(t, name, value)
	if strings.Count(text, "\n") == 1 {
		fmt.Fprintf(b, "\n%s: `%s`\n", what, strings.TrimSpace(text))
	} else {
		fmt.Fprintf(b, "\n%s:\n\n```yaml\n%s```\n", what, text)
	}
}

func yamlOf(t *testing.T, name string, value any) string {
	t.Helper()
	data, err := yaml.Marshal(map[string]any{name: value})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
