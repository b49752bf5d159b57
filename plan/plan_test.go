package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
)

// TestDocumented: docs/plan-json.md has every field of a plan's JSON, and no other (L9).
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/plan-json.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]map[string]bool{}
	var section map[string]bool
	row := regexp.MustCompile("^\\| `([a-z_]+)` \\|.*\\| (\\*optional\\*)?")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			section = map[string]bool{}
			documented[strings.TrimSpace(name)] = section
		} else if m := row.FindStringSubmatch(line); m != nil {
			section[m[1]] = m[2] != ""
		}
	}
	coded := map[string]map[string]bool{}
	fields(reflect.TypeFor[plan.Plan](), coded)
	if diff := cmp.Diff(coded, documented); diff != "" {
		t.Errorf("fields, and whether they are optional: -code +docs/plan-json.md\n%s", diff)
	}
	if !strings.Contains(string(text), "version **1**") || plan.Version != 1 {
		t.Errorf("docs/plan-json.md does not describe version %d", plan.Version)
	}
}

// fields collects the JSON fields of t, and of the types in it, and whether they are optional.
func fields(t reflect.Type, out map[string]map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		fields(t.Elem(), out)
	case reflect.Struct:
		if out[t.Name()] != nil {
			return
		}
		names := map[string]bool{}
		out[t.Name()] = names
		for i := range t.NumField() {
			name, opts, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			if !t.Field(i).Anonymous {
				names[name] = strings.HasPrefix(opts, "omit")
			}
			fields(t.Field(i).Type, out)
		}
	}
}

// TestExample: the example of the page is a plan.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../docs/plan-json.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	dec := json.NewDecoder(strings.NewReader(example))
	dec.DisallowUnknownFields()
	var p plan.Plan
	if err := dec.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Service("api") == nil || p.Build("api") == nil || p.Service("x") != nil || p.Build("x") != nil {
		t.Errorf("services %v, builds %v", p.Services, p.Builds)
	}
}

func TestDigest(t *testing.T) {
	p := &plan.Plan{Version: plan.Version, Services: []plan.Service{{Name: "a", Values: map[string]any{"b": 1, "a": 2}}}}
	first, err := p.Digest()
	if err != nil || !strings.HasPrefix(string(first), "sha256:") {
		t.Fatalf("Digest() = %s, %v", first, err)
	}
	p.Services[0].Values["b"] = 2
	if second, _ := p.Digest(); second == first {
		t.Error("two plans have one digest")
	}
	p.Services[0].Values["b"] = func() {}
	if _, err := p.Digest(); err == nil {
		t.Error("Digest() of what is not JSON: no error")
	}
	if _, err := p.JSON(); err == nil {
		t.Error("JSON() of what is not JSON: no error")
	}
}

// TestJSON: the layout is that of encoding/json, and long lists keep their order.
func TestJSON(t *testing.T) {
	p := &plan.Plan{Stages: []plan.Stage{{Name: "one"}, {Name: "two"}}, Builds: []plan.BuildSpec{}, Warnings: []plan.Diagnostic{{Message: "a \"quoted\" \\ {text}, [with]: <signs> \n é \u2028"}}, Services: []plan.Service{{
		Values: map[string]any{"a": []any{}, "b": map[string]any{}, "c": []any{1, "x,y", nil, map[string]any{"d": true}}, "{": "}"},
	}}}
	deep := any("end")
	for range 40 {
		deep = []any{deep}
	}
	p.Services[0].Values["deep"] = deep
	for n := range 3001 {
		p.Services = append(p.Services, plan.Service{Name: fmt.Sprint("svc-", n)})
	}
	got, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("JSON(): -want +got\n%s", diff)
	}
}

func TestDiagnosticString(t *testing.T) {
	pos := func(line, col int) plan.Pos { return plan.Pos{File: "Pipelinefile", Line: line, Col: col} }
	for name, test := range map[string]struct {
		d    plan.Diagnostic
		want string
	}{
		"message alone":  {plan.Diagnostic{Message: "m"}, "m"},
		"file alone":     {plan.Diagnostic{Message: "m", Pos: plan.Pos{File: "f"}}, "f: m"},
		"warning":        {plan.Diagnostic{Severity: plan.SeverityWarning, Message: "m", Pos: pos(1, 2)}, "Pipelinefile:1:2: warning: m"},
		"line and hint":  {plan.Diagnostic{Message: "m", Pos: pos(1, 3), Line: "  x()", Hint: "h\ni"}, "Pipelinefile:1:3: m\n    x()\n    ^\n    h\n    i"},
		"tabs":           {plan.Diagnostic{Message: "m", Pos: pos(1, 4), Line: "\ta\tb"}, "Pipelinefile:1:4: m\n    a\tb\n     \t^"},
		"no column":      {plan.Diagnostic{Message: "m", Pos: pos(1, 0), Line: "x"}, "Pipelinefile:1: m\n    x"},
		"column too far": {plan.Diagnostic{Message: "m", Pos: pos(1, 9), Line: "x"}, "Pipelinefile:1:9: m\n    x\n     ^"},
		"related and stack": {plan.Diagnostic{
			Message: "m", Pos: pos(2, 1), Line: "b",
			Related: []plan.Related{{Pos: pos(1, 1), Message: "r", Line: "a"}},
			Stack:   []plan.Frame{{Name: "<toplevel>", Pos: pos(3, 1)}},
		}, "Pipelinefile:2:1: m\n    b\n    ^\nPipelinefile:1:1: r\n    a\n    ^\nstack:\n    Pipelinefile:3:1: in <toplevel>"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.d.String()); diff != "" {
				t.Errorf("String(): -want +got\n%s", diff)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	var d plan.Duration
	if err := json.Unmarshal([]byte(`"1h30m"`), &d); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(d); err != nil || string(got) != `"1h30m0s"` {
		t.Errorf("Marshal = %s, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`"soon"`), &d); err == nil {
		t.Error(`Unmarshal("soon"): no error`)
	}
}
