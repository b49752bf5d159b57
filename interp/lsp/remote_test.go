package lsp_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/interp/lsp"
	"github.com/pipelinefile/pipe/plan"
)

// TestRemoteModule: what is pinned and fetched is known to an editor, and what is
// not is told with the command that fetches it.
func TestRemoteModule(t *testing.T) {
	const lib = "git+https://example.com/lib@v1"
	cache := fstest.MapFS{}
	keep := func(data string) plan.Digest {
		d := plan.DigestOf([]byte(data))
		cache[lock.Name(d)] = &fstest.MapFile{Data: []byte(data)}
		return d
	}
	listing := lock.Listing{"web.star": keep("def site(name):\n    return container(name, image = \"web:1\")\n")}
	pins := lock.File{Version: lock.Version, Modules: map[string]lock.Pin{
		lib: {Commit: strings.Repeat("0", 40), Digest: keep(string(listing.Bytes()))},
	}}
	text := "-- Pipelinefile --\nload(\"" + lib + "//web.star\", \"site\")\npipeline(\"x\")\nsite(\"a\")\n" +
		"-- Pipelinefile.lock --\n" + string(pins.Bytes())
	c := start(t, text, lsp.Options{Cache: cache})
	c.open("Pipelinefile")
	if got := shown(c.diagnostics("Pipelinefile")); got != "" {
		t.Errorf("a module that is there: %s", got)
	}
	c.change("Pipelinefile", nil, "load(\"git+https://example.com/other@v1//web.star\", \"site\")\npipeline(\"x\")\nsite(\"a\")\n")
	if got := shown(c.diagnostics("Pipelinefile")); !strings.Contains(got, "pipe mod sync") {
		t.Errorf("a module that is not pinned: %s", got)
	}
}
