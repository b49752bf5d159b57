package lsp_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/interp/lsp"
)

const shop = `
-- Pipelinefile --
load("lib/web.star", "site", other = "helper")
pipeline("shop")
db = database("db", engine = "postgresql", version = "15")
site("page", replicas = 2, env = {"HOST": db.host})
other("more")
-- lib/web.star --
"""Pages."""

def site(name, *, replicas = 1, **more):
    """Declares a page.

    Args:
      name: of the service,
        unique.
      replicas: how many.
    """
    return container(name, image = "web:1", replicas = replicas, **more)

def helper(x):
    return site(x)
-- old/Pipelinefile --
pipeline("old")
`

// TestDiagnostics checks that diagnostics are those of the text in the editor,
// with hints and related positions.
func TestDiagnostics(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile")
	if got := shown(c.diagnostics("Pipelinefile")); got != "" {
		t.Errorf("a good file: %s", got)
	}
	c.change("Pipelinefile", nil, "pipeline('shop')\ncontaner('a')\ncontainer('🙂', image = imge)\n")
	want := "2:0-8: undefined: contaner\ndid you mean \"container\"?\n3:24-28: undefined: imge"
	if got := shown(c.diagnostics("Pipelinefile")); got != want {
		t.Errorf("names: got\n%s\nwant\n%s", got, want)
	}
	c.change("Pipelinefile", nil, "pipeline('shop')\nx = ('🙂', f'a')\n")
	want = "2:11-12: there are no f-strings\nwrite \"…%s\" % value, or \"…{}\".format(value)"
	if got := shown(c.diagnostics("Pipelinefile")); got != want {
		t.Errorf("syntax: got\n%s\nwant\n%s", got, want)
	}
	c.change("Pipelinefile", nil, "pipeline('shop')\nx = 1 # '🙂'\x00\ncontainer('a', image = 'a:1')\n")
	want = "2:12-13: the file has a NUL byte\nremove it; if the file is in UTF-16, save it as UTF-8"
	if got := shown(c.diagnostics("Pipelinefile")); got != want {
		t.Errorf("NUL: got\n%s\nwant\n%s", got, want)
	}
	c.change("Pipelinefile", nil, "pipeline('shop')\ncontainer('a', image = 'a:1')\ncontainer('a', image = 'a:1')\n")
	got := c.diagnostics("Pipelinefile")
	if len(got) != 1 || len(got[0].Related) != 1 || got[0].Related[0].Location.Range.Start.Line != 1 || got[0].Severity != 1 {
		t.Errorf("declared twice: %+v", got)
	}
}

// TestDiagnosticsOfModules checks that an error in a module is shown in the
// module, and that the unsaved text of the module is the one that is evaluated.
func TestDiagnosticsOfModules(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("lib/web.star", "def site(name, replicas, env):\n    return container(name, imge = 'x')\ndef helper(x): pass\n")
	got := c.diagnostics("lib/web.star")
	if want := "2:27-31: container: no parameter \"imge\"\ndid you mean \"image\"?"; shown(got) != want {
		t.Errorf("module: %s, want %s", shown(got), want)
	} else if len(got[0].Related) != 1 || got[0].Related[0].Location.URI != c.uri("Pipelinefile") {
		t.Errorf("module: the call is not related: %+v", got[0])
	}
	c.change("lib/web.star", nil, "def site(name, replicas, env):\n    return container(name, image = 'x:1', env = env, replicas = replicas)\ndef helper(_x): pass\n")
	if got := shown(c.diagnostics("lib/web.star")); got != "" {
		t.Errorf("a corrected module: %s", got)
	}
	// A module that no file loads is checked by itself.
	c.open("alone.star", "x = y\n")
	if got := shown(c.diagnostics("alone.star")); got != "1:4-5: undefined: y" {
		t.Errorf("a module by itself: %s", got)
	}
	c.notify("textDocument/didClose", map[string]any{"textDocument": map[string]any{"uri": c.uri("alone.star")}})
	c.wait("alone.star", func(p published) bool { return len(p.Diagnostics) == 0 })
}

// TestParameters checks that a parameter without a value is not an error in the
// editor, and that other errors are still found.
func TestParameters(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile", "pipeline('shop')\nn = param('n', type = 'int')\ncontainer('a', image = 'a:1', replicas = n, stage = 'x')\n")
	got := shown(c.diagnostics("Pipelinefile"))
	if strings.Contains(got, "needs a value") || !strings.Contains(got, `"x"`) {
		t.Errorf("diagnostics: %s", got)
	}
}

// TestStandard checks that an error in @std is shown at the call that caused it.
func TestStandard(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile", "load('@std//web.star', 'site')\npipeline('shop')\nsite('a', image = 'a:1', listen = 'x')\n")
	got := c.diagnostics("Pipelinefile")
	if len(got) != 1 || got[0].Range.Start.Line != 2 || !strings.HasPrefix(got[0].Message, "@std//web.star:") {
		t.Errorf("diagnostics: %s", shown(got))
	}
}

// TestIncremental applies incremental edits, counted in UTF-16 units. A change
// cancels the previous evaluation, even one that would never end.
func TestIncremental(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	busy := "pipeline('shop')\n# 🙂🙂 n\n" + "def f():\n    for i in range(1000000000):\n        for j in range(1000000000):\n            pass\nf()\n"
	c.open("Pipelinefile", busy)
	for i := range 20 {
		c.change("Pipelinefile", &span{position{1, 7}, position{1, 8 + (i+9)/10}}, fmt.Sprint(i))
	}
	// Replace everything from the first emoji to the end of f().
	c.change("Pipelinefile", &span{position{1, 2}, position{6, 3}}, "é🙂\ncontaner()")
	want := "3:0-8: undefined: contaner\ndid you mean \"container\"?"
	if got := shown(c.diagnostics("Pipelinefile")); got != want {
		t.Errorf("diagnostics: got %s, want %s", got, want)
	}
}

// TestQuickFix checks that a suggestion of a diagnostic is offered as a quick fix.
func TestQuickFix(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile", "pipeline('shop')\nstage('one')\ncontainer('🙂', image = 'a:1', stage = 'oen')\ncontaner()\n")
	c.change("Pipelinefile", nil, "pipeline('shop')\nstage('one')\ncontainer('a', image = 'a:1', stage = 'oen')\n")
	c.change("Pipelinefile", nil, "pipeline('shop')\ncontaner()\n")
	actions := decode[[]struct {
		Title string
		Edit  struct{ Changes map[string][]textEdit }
	}](t, c.call("textDocument/codeAction", map[string]any{
		"textDocument": map[string]any{"uri": c.uri("Pipelinefile")}, "range": span{},
		"context": map[string]any{"diagnostics": c.diagnostics("Pipelinefile")},
	}))
	if len(actions) != 1 || actions[0].Title != "Write container" {
		t.Fatalf("actions: %+v", actions)
	}
	got := apply(t, "pipeline('shop')\ncontaner()\n", actions[0].Edit.Changes[c.uri("Pipelinefile")])
	if want := "pipeline('shop')\ncontainer()\n"; got != want {
		t.Errorf("applied: %q, want %q", got, want)
	}
}

// TestLifecycle checks the order of initialize, shutdown and exit, and the
// errors for requests that are out of order.
func TestLifecycle(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	if a := c.try("textDocument/nothing", nil); a.Error == nil || a.Error.Code != -32601 {
		t.Errorf("an unknown method: %+v", a)
	}
	if a := c.try("textDocument/hover", []int{1}); a.Error == nil || a.Error.Code != -32602 {
		t.Errorf("wrong parameters: %+v", a)
	}
	if a := c.try("textDocument/hover", map[string]any{"textDocument": map[string]any{"uri": "untitled:x"}}); a.Error == nil {
		t.Errorf("no file: %+v", a)
	}
	c.notify("$/unknown", nil)
	c.call("shutdown", nil)
	if a := c.try("textDocument/hover", nil); a.Error == nil || a.Error.Code != -32600 {
		t.Errorf("after shutdown: %+v", a)
	}
	c.notify("exit", nil)
	if err := <-c.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestNoShutdown(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.notify("exit", nil)
	if err := <-c.served; !errors.Is(err, lsp.ErrNoShutdown) {
		t.Errorf("Serve: %v", err)
	}
}

// TestFiles checks that a file that another program changes is evaluated again.
func TestFiles(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	c.open("Pipelinefile")
	c.diagnostics("Pipelinefile")
	if err := os.WriteFile(filepath.Join(c.dir, "lib", "web.star"), []byte("def site(name):\n    pass\nhelper = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.notify("workspace/didChangeWatchedFiles", map[string]any{"changes": []any{map[string]any{"uri": c.uri("lib/web.star"), "type": 2}}})
	got := c.wait("Pipelinefile", func(p published) bool { return len(p.Diagnostics) > 0 && p.Diagnostics[0].Severity == 1 })
	if want := "4:0-4: function site got an unexpected keyword argument \"replicas\"\nit takes name"; shown(got) != want {
		t.Errorf("diagnostics: %s, want %s", shown(got), want)
	}
}

type textEdit struct {
	Range   span
	NewText string
}

// apply applies edits that do not overlap, the last one first.
func apply(t *testing.T, text string, edits []textEdit) string {
	t.Helper()
	offset := func(p position) int {
		for i := range text + "x" {
			if endOf(text[:i]) == p {
				return i
			}
		}
		t.Fatalf("no position %v in %q", p, text)
		return 0
	}
	type piece struct {
		start, end int
		text       string
	}
	pieces := map[int]piece{}
	for _, e := range edits {
		p := piece{offset(e.Range.Start), offset(e.Range.End), e.NewText}
		pieces[p.start] = p
	}
	for i := len(text); i >= 0; i-- {
		if p, ok := pieces[i]; ok {
			text = text[:p.start] + p.text + text[p.end:]
		}
	}
	return text
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: -want +got\n%s", what, d)
	}
}
