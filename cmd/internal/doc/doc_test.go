package doc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/cmd/internal/doc"
	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lint"
)

// TestFind checks that every builtin, type, rule and parameter is found by its name
// and has a summary and a text.
func TestFind(t *testing.T) {
	entries := doc.Language()
	check := func(name string, kind doc.Kind) {
		t.Helper()
		for _, e := range doc.Find(entries, name) {
			if e.Kind == kind && e.Name == name && e.Summary != "" && e.Text != "" {
				return
			}
		}
		t.Errorf("%s, %s, is not found or not documented: %+v", name, kind, doc.Find(entries, name))
	}
	for _, f := range builtins.Standard() {
		check(f.Name, doc.Builtin)
		for _, p := range f.Params {
			if !strings.Contains(f.Name, ".") {
				check(f.Name+"."+p.Name, doc.Builtin)
			}
		}
	}
	for _, f := range builtins.OfTests() {
		check(f.Name, doc.OfTests)
		for _, p := range f.Params {
			check(f.Name+"."+p.Name, doc.OfTests)
		}
	}
	for _, typ := range builtins.Types() {
		check(typ.Name, doc.Type)
	}
	for _, r := range lint.Rules() {
		check(r.Name, doc.Rule)
	}
	for _, name := range []string{"", ".", "service.", "nothing", "application.nothing", "jso"} {
		if found := doc.Find(entries, name); len(found) > 0 {
			t.Errorf("%q finds %+v", name, found)
		}
	}
}

// TestLibrary checks that every function of the standard library has a docstring.
func TestLibrary(t *testing.T) {
	entries, err := doc.Library(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[doc.Kind]int{}
	for _, e := range entries {
		kinds[e.Kind]++
		if e.Text == "" || e.Summary == "" || e.Kind == doc.Function && !strings.Contains(e.Signature, "\n") {
			t.Errorf("%s is not documented: %+v", e.Name, e)
		}
	}
	if kinds[doc.Module] < 5 || kinds[doc.Function] < 10 {
		t.Errorf("got %v", kinds)
	}
}

func TestOfModule(t *testing.T) {
	got, err := doc.OfModule(t.Context(), "lib/x.star", []byte(`
def plain(): pass
def ü(a, b = ")"):
    'Says.  One.\n\n      deep\n    flat'
def _own(): pass
if True:
    def inner(): pass
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []doc.Entry{
		{Name: "lib/x.star", Kind: doc.Module},
		{Name: "lib/x.star:plain", Kind: doc.Function, Signature: "load(\"lib/x.star\", \"plain\")\nplain()"},
		{
			Name: "lib/x.star:ü", Kind: doc.Function, Signature: "load(\"lib/x.star\", \"ü\")\nü(a, b = \")\")",
			Summary: "Says.", Text: "Says.  One.\n\n  deep\nflat",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var wrong *interp.Error
	if _, err := doc.OfModule(t.Context(), "x.star", []byte("def (")); !errors.As(err, &wrong) {
		t.Errorf("OfModule of an invalid module: %v", err)
	}
}

func TestLoaded(t *testing.T) {
	text := []byte("load(\"lib/x.star\", \"a\", b = \"c\")\nload(\"@std//web.star\", \"web\")\nd = 1\n")
	for name, want := range map[string][2]string{
		"a": {"lib/x.star", "a"}, "b": {"lib/x.star", "c"}, "web": {"@std//web.star", "web"}, "c": {}, "d": {}, "": {},
	} {
		if module, from := doc.Loaded(t.Context(), "Pipelinefile", text, name); module != want[0] || from != want[1] {
			t.Errorf("Loaded(%q) = %q, %q, want %q", name, module, from, want)
		}
	}
	if module, _ := doc.Loaded(t.Context(), "Pipelinefile", []byte("load("), "a"); module != "" {
		t.Errorf("Loaded of an invalid file = %q", module)
	}
}
