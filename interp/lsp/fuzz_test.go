package lsp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lsp"
)

// all lists the requests that take a position.
var all = []string{"completion", "hover", "signatureHelp", "definition", "references", "prepareRename", "rename", "documentSymbol", "formatting", "codeAction"}

// session returns the messages of an editor that opens a file, sends all
// requests at a position, and changes the file there.
func session(root, text, insert string, at position) []byte {
	var b bytes.Buffer
	id := 0
	send := func(method string, params any, request bool) {
		m := map[string]any{"jsonrpc": "2.0", "method": method, "params": params}
		if request {
			id++
			m["id"] = id
		}
		body, _ := json.Marshal(m)
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	doc := map[string]any{"uri": "file://" + root + "/Pipelinefile", "version": 1, "text": text}
	send("initialize", map[string]any{"rootUri": "file://" + root}, true)
	send("textDocument/didOpen", map[string]any{"textDocument": doc}, false)
	for range 2 {
		for _, method := range all {
			send("textDocument/"+method, map[string]any{"textDocument": doc, "position": at, "newName": "other"}, true)
		}
		send("textDocument/didChange", map[string]any{"textDocument": doc, "contentChanges": []any{
			map[string]any{"range": span{at, at}, "text": insert},
			map[string]any{"range": span{position{0, 0}, position{0, 1}}, "text": ""},
		}}, false)
	}
	send("shutdown", nil, true)
	send("exit", nil, false)
	return b.Bytes()
}

// serve plays a session and fails if the server reports a panic.
func serve(t *testing.T, in []byte) {
	t.Helper()
	var out bytes.Buffer
	err := lsp.Serve(t.Context(), bytes.NewReader(in), &out, lsp.Options{Limits: interp.Limits{Steps: 100_000, Size: 1 << 20}})
	if err != nil {
		t.Errorf("Serve: %v", err)
	}
	if said := out.String(); strings.Contains(said, `"code":-32603`) || strings.Contains(said, "window/logMessage") {
		t.Errorf("a panic: %.2000s", said)
	}
}

// FuzzServe checks that nothing panics and every session ends, for any text and
// any position of the cursor.
func FuzzServe(f *testing.F) {
	f.Add("load('m.star', 'a')\npipeline('shop')\ndb = database('🙂', engine = 'redis')\nx = db.host\n", "(", 2, 20)
	f.Add("def f(a, *, b = 1, **c):\n    \"\"\"D.\n\n    Args:\n      a: b\n    \"\"\"\n    return struct(a = a)\nf(1).a\n", "\"", 7, 5)
	f.Add("x = [y for y in range(3) if y]\r\nz = lambda q: q\rw = x[0].a.b.c(1)(2)\n", "'''", 1, 9)
	f.Add("container('a', image = \"\"\"x", ".", 0, 26)
	f.Add("\ufeffx = 1\n\x00", "\\", 0, 3)
	f.Add("load('@std//web.star', w = 'web', )\nw('a', ports = [port(80, p", "=", 1, 26)
	f.Add("if True:\n  def g():\n    pass\nelse:\n  g = 1\n(\n)\n", "#", 5, 1)
	f.Fuzz(func(t *testing.T, text, insert string, line, char int) {
		if len(text) > 10_000 || len(insert) > 1000 || !utf8.ValidString(text) {
			t.Skip("too long, or not representable in JSON")
		}
		serve(t, session(t.TempDir(), text, insert, position{line, char}))
	})
}

// FuzzMessages checks that the server responds or ends without a panic,
// whatever an editor sends.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("Content-Length: 2\r\n\r\n{}"))
	f.Add([]byte("Content-Length: 99999999999\r\n\r\n{}"))
	f.Add([]byte("content-length: 44\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}"))
	f.Add(session("/nowhere", "x", "y", position{0, 0}))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		_ = lsp.Serve(t.Context(), bytes.NewReader(in), &out, lsp.Options{Limits: interp.Limits{Steps: 100_000}})
		if said := out.String(); strings.Contains(said, "window/logMessage") {
			t.Errorf("a panic: %.2000s", said)
		}
	})
}

// TestHostile sends all requests at the end and in the middle of files that are
// made to be expensive to analyze.
func TestHostile(t *testing.T) {
	doubled := "x0 = struct(a = 1)\n"
	for i := range 40 {
		doubled += fmt.Sprintf("x%d = struct(%s)\n", i+1, strings.Repeat(fmt.Sprintf("a = x%d, ", i), 20))
	}
	for name, text := range map[string]string{
		"brackets":     strings.Repeat("(", 200_000),
		"closed":       strings.Repeat("f(", 400) + strings.Repeat(")", 400),
		"lists":        "x = " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"dots":         "x = a" + strings.Repeat(".a", 100_000),
		"calls":        "x = a" + strings.Repeat("()", 100_000) + ".",
		"one line":     "x = '" + strings.Repeat("🙂", 500_000) + "'",
		"lines":        strings.Repeat("\n", 1_000_000) + "x",
		"names":        strings.Repeat("x = y\n", 50_000),
		"broken lines": strings.Repeat("x = (\n", 20_000),
		"bad lines":    strings.Repeat("x = = 1\n", 20_000),
		"quotes":       strings.Repeat("'''", 33_333) + "'",
		"doubled":      doubled + "x40.a",
		"functions":    strings.Repeat("def f():\n  return f()\n", 5000) + "f().",
		"conditions":   "a = " + strings.Repeat("(a if a else ", 300) + "a" + strings.Repeat(")", 300) + "\na.",
		"endless":      "def f():\n    for i in range(1000000000):\n        pass\nf()\n",
		"loads itself": "load('Pipelinefile', 'x')\nx = 1\nx",
		"load outside": "load('../../../../../etc/passwd', 'root')\nroot",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := strings.Split(text, "\n")
			last := lines[len(lines)-1]
			serve(t, session(t.TempDir(), text, "x", position{len(lines) - 1, len(last)}))
			serve(t, session(t.TempDir(), text, "(", position{len(lines) / 2, len(lines[len(lines)/2]) / 2}))
		})
	}
}

// TestHostileWorkspace checks that devices, and files outside of the workspace,
// are not read through symbolic links.
func TestHostileWorkspace(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.star"), []byte("password = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(c.dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(c.dir, "zero.star")); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"load('out/secret.star', '|')", "load('zero.star', '|')", "load('out/|')"} {
		if got := labels(c.complete("Pipelinefile", text)); len(got) > 0 {
			t.Errorf("%s: %v", text, got)
		}
	}
	got := c.places(decode[[]found](t, c.call("textDocument/definition", c.show("Pipelinefile", "load('out/secret.star', 'pass|word')\n"))))
	if len(got) != 1 || got[0] != "Pipelinefile:1:25" {
		t.Errorf("definition: %v", got)
	}
	c.open("zero.star", "x = 1\n")
	c.diagnostics("zero.star")
}
