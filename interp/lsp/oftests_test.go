package lsp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp/lsp"
)

// TestOfTests checks that the builtins of tests are available in test files only.
func TestOfTests(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	const text = "def test_a():\n    p = plan('Pipelinefile', environment = 'staging')\n    golden(p, 'testdata/a.json')\n"
	c.open("shop_test.star", text)
	if got := shown(c.diagnostics("shop_test.star")); got != "" {
		t.Errorf("diagnostics: %s", got)
	}
	for cursor, want := range map[string][]string{
		"pl|":              {"plan", "plan_error"},
		"plan().|":         {"services", "stages", "service"},
		"plan(kind = '|')": {"clone", "environment", "preview"},
	} {
		got := labels(c.complete("shop_test.star", text+"    "+cursor+"\n"))
		for _, name := range want {
			if !slices.Contains(got, name) {
				t.Errorf("%s: %s is not offered: %v", cursor, name, got)
			}
		}
	}
	hover := func(name, text string) string {
		t.Helper()
		return string(c.call("textDocument/hover", c.show(name, text)))
	}
	if got := hover("shop_test.star", strings.Replace(text, "plan(", "pl|an(", 1)); !strings.Contains(got, "Evaluates a Pipelinefile") {
		t.Errorf("hover: %s", got)
	}
	c.open("lib/more.star", "def f():\n    return plan()\n")
	if got := shown(c.diagnostics("lib/more.star")); !strings.HasPrefix(got, "2:11-15: undefined: plan") || !strings.Contains(got, "files *_test.star") {
		t.Errorf("diagnostics: %s", got)
	}
	if got := labels(c.complete("lib/more.star", "pl|")); slices.Contains(got, "plan") || slices.Contains(got, "plan_error") {
		t.Errorf("plan is offered: %v", got)
	}
	if got := hover("lib/more.star", "pl|an()"); got != "null" {
		t.Errorf("hover: %s", got)
	}
}
