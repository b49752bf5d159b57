package lsp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp/lint/dockerfile"
	"github.com/pipelinefile/pipe/interp/lsp"
)

// TestLint checks that findings of lint are warnings with the name of the rule,
// and that their fixes are quick fixes.
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

// TestDockerfiles checks that findings of a Dockerfile that a Pipelinefile
// builds are shown in the Dockerfile, and disappear when a corrected version is
// saved. An open Dockerfile is not parsed as Starlark.
func TestDockerfiles(t *testing.T) {
	c := start(t, "-- Pipelinefile --\npipeline(\"x\")\napplication(\"a\", source = local(\"a\"))\n-- a/Dockerfile --\nFROM scratch as x\nCMD x\n",
		lsp.Options{Dockerfiles: dockerfile.Builds})
	c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": c.uri("a/Dockerfile"), "languageId": "dockerfile", "version": 1, "text": "FROM scratch as x\nCMD x\n",
	}})
	found := c.wait("a/Dockerfile", func(p published) bool { return len(p.Diagnostics) > 1 })
	if got := shown(found); !strings.HasPrefix(got, "1:0-4: FromAsCasing: ") || !strings.Contains(got, "\n2:0-3: JSONArgsRecommended: ") || found[0].Severity != 2 {
		t.Errorf("diagnostics: %s", got)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "a", "Dockerfile"), []byte("FROM scratch\nCMD [\"/x\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.notify("textDocument/didSave", map[string]any{"textDocument": map[string]any{"uri": c.uri("a/Dockerfile")}})
	c.wait("a/Dockerfile", func(p published) bool { return len(p.Diagnostics) == 0 })
	c.open("Pipelinefile")
	if got := shown(c.diagnostics("Pipelinefile")); got != "" {
		t.Errorf("diagnostics of the Pipelinefile: %s", got)
	}
}
