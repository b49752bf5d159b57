package lsp_test

import (
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp/lsp"
)

// TestLint: what is right and wrong all the same is a warning with its rule, and
// what can be corrected is corrected by a quick fix.
func TestLint(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	const text = "load(\"lib/web.star\", \"helper\", \"site\")\npipeline(\"shop\")\nsite(\"🙂\"[:0] + \"page\", env = {})\n"
	c.open("Pipelinefile", text)
	found := c.diagnostics("Pipelinefile")
	if len(found) != 1 || found[0].Severity != 2 || !strings.HasPrefix(shown(found), "1:22-28: helper is loaded and not used") {
		t.Fatalf("diagnostics: %s", shown(found))
	}
	actions := decode[[]struct {
		Title string
		Edit  struct{ Changes map[string][]textEdit }
	}](t, c.call("textDocument/codeAction", map[string]any{
		"textDocument": map[string]any{"uri": c.uri("Pipelinefile")}, "range": span{},
		"context": map[string]any{"diagnostics": found},
	}))
	if len(actions) != 1 {
		t.Fatalf("actions: %+v", actions)
	}
	got := apply(t, text, actions[0].Edit.Changes[c.uri("Pipelinefile")])
	if want := strings.Replace(text, "\"helper\", ", "", 1); got != want {
		t.Errorf("corrected: %q, want %q", got, want)
	}
}
