// Package shop_test holds the example to what it shows: it evaluates, and plans what its README says.
package shop_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func evaluate(t *testing.T, params map[string]string) *plan.Plan {
	t.Helper()
	p, err := interp.Eval(t.Context(), "Pipelinefile", interp.Options{
		Root: ".", Environment: plan.EnvironmentRef{Name: "demo"}, Params: params,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlan(t *testing.T) {
	p := evaluate(t, nil)
	// What the files of the programs hold is not what this test is about.
	for i := range p.Inputs {
		if p.Inputs[i].Digest != "" {
			p.Inputs[i].Digest = "sha256:…"
		}
	}
	got, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/plan.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the plan is not that of %s; if it is meant, go test ./examples/shop -update (-want +got):\n%s", golden, diff)
	}
}

func TestStages(t *testing.T) {
	want := map[string]string{
		"db": "DEFAULT DATABASE", "migrate": "DEFAULT JOB", "cache": "DEFAULT CONTAINER",
		"api": "DEFAULT APPLICATION", "web": "DEFAULT APPLICATION",
	}
	got := map[string]string{}
	for _, s := range evaluate(t, nil).Services {
		got[s.Name] = s.Stage
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

// Images that come from elsewhere do so for all: those that are copied and those that are built on.
func TestImagesParam(t *testing.T) {
	p := evaluate(t, map[string]string{"images": "127.0.0.1:5000", "postgres": "17", "golang": "1.27"})
	if got, want := p.Service("db").Image.Mirror, "127.0.0.1:5000/postgres:17"; got != want {
		t.Errorf("image of db = %s, want %s", got, want)
	}
	for _, b := range p.Builds {
		if diff := cmp.Diff(map[string]string{"IMAGES": "127.0.0.1:5000", "GO": "1.27"}, b.Args); diff != "" {
			t.Errorf("arguments of %s (-want +got):\n%s", b.ID, diff)
		}
	}
}

// The key is known by its name alone (D4).
func TestSecret(t *testing.T) {
	for _, service := range []string{"api", "web"} {
		for _, e := range evaluate(t, nil).Service(service).Workload.Env {
			if e.Name == "API_KEY" && (e.Value != "" || e.Secret == nil || e.Secret.Name != "api-key") {
				t.Errorf("API_KEY of %s = %+v, want a reference to the secret api-key", service, e)
			}
		}
	}
}
