package lsp_test

import (
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp/lsp"
)

// TestHost checks that the editor treats the builtins and modules of a host
// program like the standard ones: diagnostics, completion, hover and definition
// (G1).
func TestHost(t *testing.T) {
	type args struct {
		Name string `arg:"name" help:"of the team"`
		Size int    `arg:"size,kw" default:"3" help:"how many"`
	}
	team := builtins.New("team", "struct", "Notes who looks after it.", func(*builtins.Call, *args) (starlark.Value, error) {
		return starlark.None, nil
	})
	c := start(t, "-- Pipelinefile --\n", lsp.Options{
		Builtins: []*builtins.Func{team},
		Modules: map[string]fs.FS{"house": fstest.MapFS{
			"web.star":      {Data: []byte("\"\"\"Webs of the house.\"\"\"\nload(\"in/part.star\", \"part\")\ndef web(name):\n    \"\"\"Declares a web.\"\"\"\n    team(name)\n    return part(name)\n")},
			"in/part.star":  {Data: []byte("def part(name):\n    return container(name, image = \"part:1\")\n")},
			"web_test.star": {Data: []byte("")},
		}},
	})
	const head = "load(\"@house//web.star\", \"web\")\nteam(\"books\", size = 2)\npipeline(\"x\")\nweb(\"a\")\n"
	c.open("Pipelinefile", head)
	if got := shown(c.diagnostics("Pipelinefile")); got != "" {
		t.Errorf("diagnostics: %s", got)
	}
	c.change("Pipelinefile", nil, head+"team(\"x\", sise = 1)\n")
	if got := shown(c.diagnostics("Pipelinefile")); !strings.Contains(got, `did you mean "size"?`) {
		t.Errorf("diagnostics of a wrong call: %s", got)
	}
	for text, want := range map[string]string{
		head + "te|":                        "team",
		head + "team(\"x\", si|":            "size=",
		"load(\"@h|\")":                     "@house//web.star",
		"load(\"@house//web.star\", \"|\")": "web",
		"load(\"@s|\")":                     "@std//web.star",
	} {
		got := labels(c.complete("Pipelinefile", text))
		if !slices.ContainsFunc(got, func(l string) bool { return strings.ReplaceAll(l, " ", "") == want }) || slices.Contains(got, "@house//web_test.star") {
			t.Errorf("completion of %q: %q, want %s", text, got, want)
		}
	}
	hover := string(c.call("textDocument/hover", c.show("Pipelinefile", strings.Replace(head, "team(", "te|am(", 1))))
	if !strings.Contains(hover, "Notes who looks after it.") || !strings.Contains(hover, "size=3") {
		t.Errorf("hover: %s", hover)
	}
	for mark, want := range map[string]string{"\nw|eb(": "def web(name):", "//w|eb.star": `"""Webs of the house."""`} {
		at := c.show("Pipelinefile", strings.Replace(head, strings.ReplaceAll(mark, "|", ""), mark, 1))
		list := decode[[]struct {
			URI   string
			Range span
		}](t, c.call("textDocument/definition", at))
		if len(list) != 1 {
			t.Fatalf("definition at %q: %+v", mark, list)
		}
		u, err := url.Parse(list[0].URI)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(u.Path)
		if err != nil {
			t.Fatal(err)
		}
		if line := strings.Split(string(data), "\n")[list[0].Range.Start.Line]; line != want {
			t.Errorf("definition at %q: %s", mark, line)
		}
		if mark != "\nw|eb(" {
			continue
		}
		// Go to a definition from the library module, which is open in the editor.
		uri := (&url.URL{Scheme: "file", Path: u.Path}).String()
		c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
			"uri": uri, "languageId": "pipelinefile", "version": 1, "text": string(data),
		}})
		inner := string(c.call("textDocument/definition", map[string]any{"textDocument": map[string]any{"uri": uri}, "position": position{5, 12}}))
		if !strings.Contains(inner, "/in/part.star") {
			t.Errorf("definition in the module: %s", inner)
		}
	}
}
