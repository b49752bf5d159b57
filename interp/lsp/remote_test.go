package lsp_test

import (
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/interp/lsp"
	"github.com/pipelinefile/pipe/plan"
)

// remoteLib is a remote module that is pinned and fetched.
const remoteLib = "git+https://example.com/lib@v1"

func fetched(files map[string]string) (cache fstest.MapFS, pins string) {
	cache = fstest.MapFS{}
	keep := func(data string) plan.Digest {
		d := plan.DigestOf([]byte(data))
		cache[lock.Name(d)] = &fstest.MapFile{Data: []byte(data)}
		return d
	}
	listing := lock.Listing{}
	for name, text := range files {
		listing[name] = keep(text)
	}
	f := lock.File{Version: lock.Version, Modules: map[string]lock.Pin{
		remoteLib: {Commit: strings.Repeat("0", 40), Digest: keep(string(listing.Bytes()))},
	}}
	return cache, string(f.Bytes())
}

// TestRemoteModule checks that a module that is pinned and fetched is found, and
// that the error for one that is not names the command that fetches it.
func TestRemoteModule(t *testing.T) {
	cache, pins := fetched(map[string]string{"web.star": "def site(name):\n    return container(name, image = \"web:1\")\n"})
	text := "-- Pipelinefile --\nload(\"" + remoteLib + "//web.star\", \"site\")\npipeline(\"x\")\nsite(\"a\")\n" +
		"-- Pipelinefile.lock --\n" + pins
	c := start(t, text, lsp.Options{Cache: cache})
	c.open("Pipelinefile")
	if got := shown(c.diagnostics("Pipelinefile")); got != "" {
		t.Errorf("a module that is pinned and fetched: %s", got)
	}
	c.change("Pipelinefile", nil, "load(\"git+https://example.com/other@v1//web.star\", \"site\")\npipeline(\"x\")\nsite(\"a\")\n")
	if got := shown(c.diagnostics("Pipelinefile")); !strings.Contains(got, "pipe mod sync") {
		t.Errorf("a module that is not pinned: %s", got)
	}
}

// TestIntoRemoteModule checks that the declarations of a remote module, and of
// the modules that it loads, are shown and opened as read-only files. A remote
// module is not part of the workspace: nothing in it is renamed, and it gets no
// diagnostics.
func TestIntoRemoteModule(t *testing.T) {
	const inner = "def part(name, size = 1):\n    \"\"\"Declares a part.\"\"\"\n    return container(name, image = \"part:1\")\n"
	const outer = "load(\"../parts/part.star\", \"part\")\ndef site(name):\n    unused = 1\n    return part(name)\nother = part\n"
	cache, pins := fetched(map[string]string{"lib/web.star": outer, "parts/part.star": inner})
	text := "load(\"" + remoteLib + "//lib/web.star\", \"site\", \"other\")\npipeline(\"x\")\nsite(\"a\")\nother(\"b\")\n"
	c := start(t, "-- Pipelinefile --\n"+text+"-- Pipelinefile.lock --\n"+pins, lsp.Options{Cache: cache})
	show := func(text string) map[string]any {
		t.Helper()
		return c.show("Pipelinefile", text)
	}
	definition := func(at map[string]any) (file, line string) {
		t.Helper()
		list := decode[[]struct {
			URI   string
			Range span
		}](t, c.call("textDocument/definition", at))
		if len(list) != 1 {
			t.Fatalf("definition: %+v", list)
		}
		u, err := url.Parse(list[0].URI)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(u.Path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(u.Path)
		if err != nil || info.Mode().Perm()&0o222 != 0 {
			t.Errorf("%s can be written: %v, %v", u.Path, info, err)
		}
		return u.Path, strings.Split(string(data), "\n")[list[0].Range.Start.Line]
	}
	file, line := definition(show(strings.Replace(text, "\nsite(", "\nsi|te(", 1)))
	if !strings.HasSuffix(file, "/lib/web.star") || line != "def site(name):" {
		t.Errorf("definition of site: %s: %s", file, line)
	}
	if _, line := definition(show(strings.Replace(text, "//lib/web", "//lib/w|eb", 1))); !strings.HasPrefix(line, "load(") {
		t.Errorf("definition of the module: %s", line)
	}
	if file, line := definition(show(strings.Replace(text, "\nother(", "\noth|er(", 1))); !strings.HasSuffix(file, "/lib/web.star") || line != "other = part" {
		t.Errorf("definition of other: %s: %s", file, line)
	}
	hover := string(c.call("textDocument/hover", show(strings.Replace(text, "\nother(", "\noth|er(", 1))))
	if !strings.Contains(hover, "Declares a part.") || !strings.Contains(hover, "size=1") {
		t.Errorf("hover: %s", hover)
	}
	if got := shown(c.diagnostics("Pipelinefile")); got != "" {
		t.Errorf("diagnostics: %s", got)
	}

	// Use the module itself, open in the editor.
	uri := (&url.URL{Scheme: "file", Path: file}).String()
	c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{"uri": uri, "languageId": "pipelinefile", "version": 1, "text": outer}})
	at := map[string]any{"textDocument": map[string]any{"uri": uri}, "position": position{3, 13}}
	if file, line := definition(at); !strings.HasSuffix(file, "/parts/part.star") || line != "def part(name, size = 1):" {
		t.Errorf("definition of part: %s: %s", file, line)
	}
	at["newName"] = "piece"
	if a := c.try("textDocument/rename", at); a.Error == nil || !strings.Contains(a.Error.Message, "is outside this workspace") {
		t.Errorf("rename in a remote module: %+v", a)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for about := range c.found {
		if strings.Contains(about, "remote") {
			t.Errorf("diagnostics of %s", about)
		}
	}
}
