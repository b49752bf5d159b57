package builtins_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// TestDescribed checks that every name that a Pipelinefile can use is documented, with
// each argument.
func TestDescribed(t *testing.T) {
	known := map[string]bool{}
	for _, f := range builtins.Available(builtins.TestSuffix) {
		known[f.Name] = true
		if !strings.HasSuffix(f.Doc, ".") || f.Result == "" {
			t.Errorf("%s: Doc %q, Result %q", f.Name, f.Doc, f.Result)
		}
		for _, p := range f.Params {
			if p.Help == "" || p.Type == "" || strings.Contains(p.Type, "Arg") {
				t.Errorf("%s: parameter %s: type %q, help %q", f.Name, p.Name, p.Type, p.Help)
			}
		}
	}
	for _, n := range builtins.Names() {
		known[n.Name] = true
	}
	env := builtins.NewSession(nil).Predeclared(nil)
	maps.Copy(env, builtins.NewSession(nil).PredeclaredTests())
	for name, v := range env {
		if m, ok := v.(*starlarkstruct.Module); ok {
			for member, v := range m.Members {
				if _, isFunc := v.(starlark.Callable); isFunc && !known[name+"."+member] {
					t.Errorf("%s.%s is not described", name, member)
				}
			}
			continue
		}
		if !known[name] && !starlark.Universe.Has(name) {
			t.Errorf("%s is not described", name)
		}
	}
}

// TestTags checks that the tags of parameters say what the code looks for: a misspelt one
// would say nothing.
func TestTags(t *testing.T) {
	words := map[string][]string{"only": {"generated", "running", "scheduled"}, "empty": {"means"}, "path": {"file", "directory"}}
	for _, f := range builtins.Standard() {
		for _, p := range f.Params {
			for tag, known := range words {
				for _, word := range strings.Fields(p.Tag.Get(tag)) {
					if !slices.Contains(known, word) {
						t.Errorf("%s: parameter %s: tag %s has the word %q, want some of %q", f.Name, p.Name, tag, word, known)
					}
				}
			}
			for _, key := range strings.Fields(p.Tag.Get("sets")) {
				if !settable(chartspec.Keys(), strings.Split(key, ".")) {
					t.Errorf("%s: parameter %s: values= of a generated chart cannot set %s", f.Name, p.Name, key)
				}
			}
		}
	}
}

// settable reports whether values= can set the key at path.
func settable(keys []chartspec.Key, path []string) bool {
	i := slices.IndexFunc(keys, func(k chartspec.Key) bool { return k.Name == path[0] && k.Argument == "" })
	return i >= 0 && (len(path) == 1 || settable(keys[i].Shape.Fields, path[1:]))
}

// TestTypes checks that the attributes of values are the documented ones.
func TestTypes(t *testing.T) {
	described := map[string]builtins.Type{}
	for _, typ := range builtins.Types() {
		described[typ.Name] = typ
	}
	th := &starlark.Thread{}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	env := builtins.NewSession(builtins.NewFiles(root, 1<<20)).Predeclared(nil)
	p, err := builtins.NewPlan(&plan.Plan{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	env["a_plan"] = p
	for _, expr := range []string{
		`database("db", engine="redis", version="7")`, `stage("s")`, `port(80)`, `secret("s")`, `container("c", image="redis").image`,
		`git("https://example.com/a")`, `dockerfile()`, `chart("x", repo="https://example.com")`, `tcp()`, `resources()`,
		`volume("/data", size="1Gi")`, `disk("d", size="1Gi")`, `file("x")`, `field("status.podIP")`, `sidecar("x")`, `init("x")`, `patch("Service", merge = {"spec": {"type": "NodePort"}})`, `sync(".", "/app")`, `kustomize("x")`, `a_plan`,
		`autoscale(1, 2, cpu=80)`, `rule(["pods"], ["get"])`, `disruption(max_unavailable=1)`, `signing_key(secret("s"))`, `signed("*", key="x")`, `scan("a@sha256:` + strings.Repeat("0", 64) + `", ["a"], max="high")`, `exception("CVE-2026-1", reason="a", until="2027-01-31")`, `strategy()`, `spread("zone")`,
	} {
		v, err := starlark.EvalOptions(&syntax.FileOptions{}, th, "t.star", expr, env)
		if err != nil {
			t.Fatalf("Eval(%s): %v", expr, err)
		}
		typ, ok := described[v.Type()]
		if !ok {
			t.Errorf("Eval(%s): the type %s is not described", expr, v.Type())
		}
		have := map[string]bool{}
		if h, ok := v.(starlark.HasAttrs); ok {
			for _, name := range h.AttrNames() {
				have[name] = true
				if a, err := h.Attr(name); a == nil || err != nil {
					t.Errorf("%s.%s = %v, %v", expr, name, a, err)
				}
			}
		}
		want := map[string]bool{}
		for _, a := range typ.Attrs {
			want[a.Name] = true
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("attributes of %s: -described +there\n%s", expr, diff)
		}
		delete(described, v.Type())
	}
	delete(described, "environment")
	if len(described) > 0 {
		t.Errorf("types without values: %v", described)
	}
}
