package graph_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/cmd/internal/graph"
	"github.com/pipelinefile/pipe/plan"
)

var update = flag.Bool("update", false, "rewrite testdata")

// shop returns a plan with every kind of node and edge.
func shop() *plan.Plan {
	return &plan.Plan{
		Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "staging"},
		Stages: []plan.Stage{{Name: "data"}, {Name: "empty"}, {Name: `apps & "more"`}},
		Services: []plan.Service{
			{Name: "db", Type: plan.Database, Stage: "data"},
			{Name: "end", Type: plan.Job, Stage: "data", Image: plan.ImageSource{Build: "end"}},
			{Name: "api", Type: plan.Application, Stage: `apps & "more"`, Image: plan.ImageSource{Build: "end"}, Workload: plan.Workload{Env: []plan.EnvVar{
				{Name: "DB", Secret: &plan.SecretRef{Service: "db", Key: "url"}}, {Name: "DB_USER", Secret: &plan.SecretRef{Service: "db", Key: "user"}},
				{Name: "TOKEN", Secret: &plan.SecretRef{Name: "token"}}, {Name: "NOTE", Value: "see: api"},
			}}},
			{Name: "web", Type: plan.Container, Stage: `apps & "more"`, Skip: true, Uses: []string{"api"}},
		},
	}
}

func TestFormats(t *testing.T) {
	g := graph.Of(shop())
	for _, format := range append([]string{"json"}, graph.Formats...) {
		t.Run(format, func(t *testing.T) {
			var b bytes.Buffer
			if format == "json" {
				data, err := json.MarshalIndent(g, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				b.Write(append(data, '\n'))
			} else if err := graph.Write(&b, g, graph.Format(format)); err != nil {
				t.Fatal(err)
			}
			golden(t, "shop."+format, b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestSVG checks that the picture is well-formed XML, even with special characters in
// names, and for a plan without services.
func TestSVG(t *testing.T) {
	for name, p := range map[string]*plan.Plan{"shop": shop(), "empty": {}} {
		var b bytes.Buffer
		if err := graph.Write(&b, graph.Of(p), graph.SVG); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(b.String()))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, b.String())
			}
		}
	}
}
