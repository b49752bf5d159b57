package interp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/interp"
)

// TestCheck checks that a source is parsed and resolved, and not executed.
func TestCheck(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"good":     {"load('x.star', 'y')\nfail(y)\n", ""},
		"names":    {"pipelin('a')\ncontaner('b')\n", `m.star:1:1: undefined: pipelin|m.star:2:1: undefined: contaner`},
		"syntax":   {"x = f'a'\n", "m.star:1:5: there are no f-strings"},
		"no text":  {"x = '\xff'\n", "m.star:1:6: the file is not valid UTF-8"},
		"half":     {"x = '\xc3'\n", "m.star:1:6: the file is not valid UTF-8"},
		"U+FFFD":   {"x = '\ufffd\xff'\n", "m.star:1:7: the file is not valid UTF-8"},
		"NUL":      {"x = 1\n\x00\ny = 2\n", "m.star:2:1: the file has a NUL byte"},
		"NUL last": {"x = 1\n\x00", "m.star:2:1: the file has a NUL byte"},
		"string":   {"é = 'é\x00'\n", "m.star:1:7: the file has a NUL byte"},
		"triple":   {"x = '''\n\na\x00'''\n", "m.star:3:2: the file has a NUL byte"},
		"comment":  {"\ufeffx = 1 # a\x00b\n", "m.star:1:10: the file has a NUL byte"},
		"UTF-16":   {"x\x00 \x00=\x00 \x001\x00", "m.star:1:2: the file has a NUL byte"},
		"too deep": {"x = " + strings.Repeat("[", 100_000), "nested"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, diags := interp.Check(t.Context(), "m.star", []byte(test.text), interp.Options{})
			var got []string
			for _, d := range diags {
				got = append(got, d.Pos.String()+": "+d.Message)
			}
			if text := strings.Join(got, "|"); text != test.want && (test.want != "nested" || !strings.Contains(text, "nested")) {
				t.Errorf("Check(%.40q) reports %q, want %q", test.text, text, test.want)
			}
			if (tree != nil) != (name == "good" || name == "names") {
				t.Errorf("Check(%.40q): tree %v", test.text, tree)
			}
		})
	}
}

// TestOverlay checks that unsaved contents take precedence over the file, which need not
// exist.
func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Pipelinefile")
	if err := os.WriteFile(file, []byte("this is not it"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := interp.Eval(t.Context(), file, interp.Options{Root: dir, Overlay: map[string][]byte{
		"Pipelinefile": []byte("load('m.star', 'name')\npipeline(name)"), "m.star": []byte("name = 'shop'"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Pipeline.Name != "shop" || len(p.Inputs) != 2 {
		t.Errorf("Eval: pipeline %q, inputs %v", p.Pipeline.Name, p.Inputs)
	}
}

// TestStandIns checks that a parameter without a value is not an error if values are made
// up.
func TestStandIns(t *testing.T) {
	dir := t.TempDir()
	opts := interp.Options{Root: dir, Overlay: map[string][]byte{
		"Pipelinefile": []byte("pipeline('shop')\ncontainer('a', image = 'a:1', replicas = param('n', type = 'int'), stage = 'nine')"),
	}}
	_, err := interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), opts)
	if err == nil || !strings.Contains(err.Error(), "the parameter n needs a value") {
		t.Errorf("Eval without a value: %v", err)
	}
	opts.StandIns = true
	_, err = interp.Eval(t.Context(), filepath.Join(dir, "Pipelinefile"), opts)
	if err == nil || strings.Contains(err.Error(), "needs a value") || !strings.Contains(err.Error(), "nine") {
		t.Errorf("Eval with a made-up one: %v", err)
	}
}
