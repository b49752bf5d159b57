package builtins_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// TestPlanMirrors checks that the value of a plan has the same names and contents as its
// JSON.
func TestPlanMirrors(t *testing.T) {
	files, err := filepath.Glob("../../interp/testdata/plans/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v", files, err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name != "plan.json" {
				continue
			}
			var p plan.Plan
			if err := json.Unmarshal(f.Data, &p); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			value, err := builtins.NewPlan(&p, nil)
			if err != nil {
				t.Fatal(err)
			}
			var tree any
			if err := json.Unmarshal(f.Data, &tree); err != nil {
				t.Fatal(err)
			}
			mirrors(t, filepath.Base(file)+": plan", tree, value)
		}
	}
}

func mirrors(t *testing.T, at string, want any, got starlark.Value) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		for name, e := range want {
			v := member(got, name)
			if v == nil {
				t.Errorf("%s has no %s", at, name)
				continue
			}
			mirrors(t, at+"."+name, e, v)
		}
	case []any:
		list, ok := got.(*starlark.List)
		if !ok || list.Len() != len(want) {
			t.Errorf("%s is %v, want %v", at, got, want)
			return
		}
		for i, e := range want {
			mirrors(t, at+"[]", e, list.Index(i))
		}
	case string:
		if got != starlark.String(want) {
			t.Errorf("%s is %v, want %q", at, got, want)
		}
	case float64:
		if n, ok := starlark.AsFloat(got); !ok || n != want {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	case bool:
		if got != starlark.Bool(want) {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	case nil:
		if got != starlark.None {
			t.Errorf("%s is %v, want None", at, got)
		}
	}
}

// member returns the entry of a dict or the field of a struct, or nil.
func member(v starlark.Value, name string) starlark.Value {
	switch v := v.(type) {
	case *starlark.Dict:
		e, _, _ := v.Get(starlark.String(name))
		return e
	case starlark.HasAttrs:
		e, _ := v.Attr(name)
		return e
	}
	return nil
}

// TestPlanValue checks that a plan in a test is frozen, is compared by content, and is
// neither ordered nor hashable.
func TestPlanValue(t *testing.T) {
	of := func(name string) *builtins.Plan {
		t.Helper()
		p, err := builtins.NewPlan(&plan.Plan{Pipeline: plan.Pipeline{Name: name}, Services: []plan.Service{{Name: "web"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	env := starlark.StringDict{"a": of("a"), "b": of("b"), "same": of("a")}
	for expr, want := range map[string]string{
		"a == same, a != same, a == b, a != b": "(True, False, False, True)",
		"a":                                    "plan(a for )",
		"a.service('web').name":                `"web"`,
		"a.services.append(1)":                 "error: append: cannot append to frozen list",
		"a < b":                                "error: plan < plan not implemented",
		"{a: 1}":                               "error: unhashable: plan",
		"a.service('wab')":                     `error: service: the plan has no service "wab"`,
		"a.service(1)":                         "error: service: for parameter name: got int, want string",
		"a.build('x')":                         `error: build: the plan has no build "x"`,
		"a.nothing":                            "error: plan has no .nothing field or method",
		"bool(a), type(a)":                     `(True, "plan")`,
		"dir(a)[:2]":                           `["build", "builds"]`,
		"a.services[0].skip_why":               "None",
		"a.services[0].values":                 "{}",
		"a.services[0].timeout":                `"0s"`,
		"a.services[0].placed.by":              `""`,
	} {
		got := ""
		v, err := starlark.EvalOptions(&syntax.FileOptions{}, &starlark.Thread{}, "x.star", expr, env)
		if err == nil {
			got = v.String()
		} else {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s = %s, want %s", expr, got, want)
		}
	}
}
