package chartspec

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	many := map[string]any{}
	for i := range 1000 {
		many[fmt.Sprint("key", i)] = i
	}
	if n := len(Check(Service, many)); n != MaxProblems {
		t.Errorf("%d problems, want %d", n, MaxProblems)
	}
	tests := []struct {
		workload Workload
		values   string
		want     string // path and message; empty: valid
	}{
		{Service, `{}`, ""},
		{Service, `{"replicas": 2, "global": {"mine": [null]}, "affinity": {"any": {"thing": null}}, "livenessProbe": null}`, ""},
		{Service, `{"replica": 2}`, "[replica] a generated chart has no such value"},
		{Service, `{"replicas": -1}`, "[replicas] want 0 or more, got -1"},
		{Service, `{"replicas": 1.5}`, "[replicas] want int, got float"},
		{Service, `{"replicas": null}`, ""},
		{Service, `{"image": null}`, "[image] want dict, got None"},
		{Service, `{"ports": [{"name": "a", "number": 65536}]}`, "[ports 0 number] want 65535 at most, got 65536"},
		{Service, `{"ports": [{"name": "a234567890123456", "number": 1}]}`, "[ports 0 name] want at most 15 characters, got 16"},
		{Service, `{"ports": [{"name": "a"}]}`, "[ports 0] number is missing"},
		{Service, `{"labels": {"a": 1}}`, "[labels a] want string, got float"},
		{Service, `{"tolerations": {}}`, "[tolerations] want list, got dict"},
		{Service, `{"job": {}}`, "[job] only the generated chart of a job has this value"},
		{Job, `{"job": {"retries": 3}}`, ""},
		{Service, `{"files": []}`, "[files] files= of the service sets it"},
		{Job, `{"ports": []}`, "[ports] the generated chart of a job has no such value"},
	}
	for _, tt := range tests {
		var values map[string]any
		if err := json.Unmarshal([]byte(tt.values), &values); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range Check(tt.workload, values) {
			got += fmt.Sprint(p.Path, " ", p.Message)
		}
		if got != tt.want {
			t.Errorf("Check(%s) = %q, want %q", tt.values, got, tt.want)
		}
	}
}

// TestKeys: each key has a help text, and no key is defined twice.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Name] || k.Help == "" {
			t.Errorf("%s is there twice, or without help", k.Name)
		}
		seen[k.Name] = true
	}
}

// TestEngines: the variables of each engine cover its whole URL, and are sorted.
func TestEngines(t *testing.T) {
	other, known := EngineNamed("cockroach")
	if known || other.Scheme != "cockroach" {
		t.Errorf("EngineNamed = %+v, %v", other, known)
	}
	for _, e := range append(Engines(), other) {
		if !slices.IsSortedFunc(e.Env, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("variables of %s are not sorted", e.Name)
		}
		in := map[string]bool{"user": e.User != "", "database": e.Name == "redis"}
		for _, v := range e.Env {
			if v.InURL {
				in[v.Credential] = true
			}
		}
		if !in["user"] || !in["password"] || !in["database"] {
			t.Errorf("the URL of %s is made of %v", e.Name, in)
		}
	}
	for _, name := range []string{"postgresql", "PG", "Maria", "mongo"} {
		if e, known := EngineNamed(name); !known || e.Image == "" {
			t.Errorf("EngineNamed(%s) = %+v, %v", name, e, known)
		}
	}
}

// TestEngineOf: an engine is found by its image, however that is written, and by those that
// extend it.
func TestEngineOf(t *testing.T) {
	for image, want := range map[string]string{
		"postgres": "postgresql", "postgres:17": "postgresql", "library/postgres": "postgresql", "docker.io/library/postgres:17@sha256:" + strings.Repeat("0", 64): "postgresql",
		"postgis/postgis:17-3.5": "postgresql", "docker.io/pgvector/pgvector": "postgresql", "mongo:8": "mongodb", "mariadb:11": "mariadb", "redis": "redis", "mysql": "mysql",
		"": "", "example/postgres": "", "r.example.com/postgres": "", "localhost/redis": "", "redis-exporter": "",
	} {
		if e, ok := EngineOf(image); e.Name != want || ok != (want != "") {
			t.Errorf("EngineOf(%q) = %q, %v, want %q", image, e.Name, ok, want)
		}
	}
}
