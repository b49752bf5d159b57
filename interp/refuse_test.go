package interp_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// TestRefuse checks that errors of the host are shown like errors of the language.
func TestRefuse(t *testing.T) {
	main := write(t, "lib/a.star", "def web():\n    container(\"a\", image = \"nginx:1.27\")\n",
		"Pipelinefile", "load(\"lib/a.star\", \"web\")\npipeline(\"shop\")\ncontainer(\"b\", image = \"nginx:1.27\")\nweb()\n")
	root := filepath.Dir(main)
	p, err := interp.Eval(t.Context(), main, interp.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if err := interp.Refuse(root, p, nil); err != nil {
		t.Errorf("Refuse of nothing = %v", err)
	}
	wrong := []plan.Diagnostic{
		{Pos: p.Service("a").Pos, Message: "a has no owner", Hint: `write labels = owner("shop")`},
		{Pos: p.Service("b").Pos, Message: "b has no owner", Related: []plan.Related{{Pos: p.Pipeline.Pos, Message: "of this pipeline"}}},
		{Pos: plan.Pos{File: "@std//web.star", Line: 1, Col: 1}, Message: "in a library"},
		{Pos: plan.Pos{File: "../secret", Line: 1, Col: 1}, Message: "outside"},
		{Severity: plan.SeverityWarning, Pos: p.Pipeline.Pos, Message: "the name is short"},
		{Message: "no position"},
	}
	err = interp.Refuse(root, p, wrong)
	const want = `Pipelinefile:2:1: warning: the name is short
    pipeline("shop")
    ^
Pipelinefile:3:1: b has no owner
    container("b", image = "nginx:1.27")
    ^
Pipelinefile:2:1: of this pipeline
    pipeline("shop")
    ^
no position
../secret:1:1: outside
@std//web.star:1:1: in a library
lib/a.star:2:5: a has no owner
    container("a", image = "nginx:1.27")
    ^
    write labels = owner("shop")`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("Refuse (-want +got):\n%s", diff)
	}
	var refused *interp.Error
	if !errors.As(err, &refused) || !cmp.Equal(refused.Inputs, p.Inputs) || refused.Diagnostics[0].Severity != plan.SeverityWarning || refused.Diagnostics[1].Severity != plan.SeverityError {
		t.Errorf("Refuse = %#v", err)
	}
	if wrong[0].Line != "" || wrong[1].Related[0].Line != "" {
		t.Error("what was given to Refuse has changed")
	}

	// A file that has changed would show the wrong line.
	if err := os.WriteFile(main, []byte("\n\n\nother text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err = interp.Refuse(root, p, []plan.Diagnostic{{Pos: p.Service("b").Pos, Message: "b has no owner"}})
	if got := err.Error(); got != "Pipelinefile:3:1: b has no owner" {
		t.Errorf("Refuse after a change = %q", got)
	}
	if got := interp.Refuse(filepath.Join(root, "gone"), p, wrong[:1]).Error(); got != "lib/a.star:2:5: a has no owner\n    write labels = owner(\"shop\")" {
		t.Errorf("Refuse without the workspace = %q", got)
	}
}
