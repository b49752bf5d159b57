package format_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/format"
)

func TestSource(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"spaces", "x=1+ 2\n", "x = 1 + 2\n"},
		{"quotes", "pipeline('shop')\n", "pipeline(\"shop\")\n"},
		{"keywords", "application('a',replicas=2,port = 1)\n", "application(\"a\", replicas = 2, port = 1)\n"},
		{"order of arguments and of loads stays", "f(b=1, a=2)\nload('b.star', 'z', 'y')\n", "f(b = 1, a = 2)\n\nload(\"b.star\", \"z\", \"y\")\n"},
		{"comments", "# top\nx = 1 # one\n# end\n", "# top\nx = 1  # one\n# end\n"},
		{"last line without end", "x = 1", "x = 1\n"},
		{"line ends of DOS", "x = 1\r\ny = 2\r\n", "x = 1\ny = 2\n"},
		{"functions", "def f(a,b=2,*c):\n  return a+b\nx=f(1)\n", "def f(a, b = 2, *c):\n    return a + b\n\nx = f(1)\n"},
		{"unknown names", "no_such_thing( 1 )\n", "no_such_thing(1)\n"},
		{"quotes in quotes", `x = ['it\'s', 'a "b"']` + "\n", "x = [\"it's\", 'a \"b\"']\n"},
		{"not ASCII", `x = ['🙂', '🙂 "é"', '\'é', '\u00e9', r'é']` + "\ny='''é\n'''\n",
			`x = ["🙂", '🙂 "é"', "\'é", "\u00e9", r"é"]` + "\ny = \"\"\"é\n\"\"\"\n"},
		{"large numbers", "x = 0xfFfFfFfFfFfFfFfFfFfF\n", "x = 0xfFfFfFfFfFfFfFfFfFfF\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := format.Source("Pipelinefile", []byte(tt.in))
			if err != nil {
				t.Fatalf("Source(%q): %v", tt.in, err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("Source(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// TestSourceWrong checks that a parse error has a position.
func TestSourceWrong(t *testing.T) {
	_, err := format.Source("lib/x.star", []byte("x = 1\ny = (\n"))
	var wrong *interp.Error
	if !errors.As(err, &wrong) {
		t.Fatalf("Source = %v, want an *interp.Error", err)
	}
	if pos := wrong.Diagnostics[0].Pos; pos.File != "lib/x.star" || pos.Line < 2 {
		t.Errorf("the error is at %v, want lib/x.star:2 or 3", pos)
	}
}

// TestSourceDeep checks that deep nesting is an error and not a crash (L4).
func TestSourceDeep(t *testing.T) {
	if _, err := format.Source("x", []byte(strings.Repeat("[", 1_000_000))); err == nil {
		t.Error("Source = nil, want an error")
	}
}

// sources returns Pipelinefiles and modules of the repository, by name.
func sources(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, glob := range []string{"../../stdlib/*.star", "../../examples/*/Pipelinefile", "../testdata/*.star", "../testdata/plans/*.txtar"} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("Glob(%s) = %v, %v", glob, files, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(file) != ".txtar" {
				out[file] = data
				continue
			}
			for _, part := range txtar.Parse(data).Files {
				if filepath.Base(part.Name) == "Pipelinefile" || filepath.Ext(part.Name) == ".star" {
					out[file+"/"+part.Name] = part.Data
				}
			}
		}
	}
	return out
}

// TestSourceStable formats all sources twice. Source itself checks that the
// result is the same program.
func TestSourceStable(t *testing.T) {
	n := 0
	for name, src := range sources(t) {
		out := stable(t, name, src)
		if out != nil {
			n++
		}
	}
	if n < 15 {
		t.Errorf("%d files were formatted, want at least 15", n)
	}
}

// stable formats src and fails if a second pass changes the result. It returns
// nil for a file that does not parse.
func stable(t *testing.T, name string, src []byte) []byte {
	t.Helper()
	out, err := format.Source(name, src)
	if err != nil {
		if strings.Contains(err.Error(), "cannot format this file") {
			t.Errorf("Source(%s): %v", name, err)
		}
		return nil
	}
	again, err := format.Source(name, out)
	if err != nil {
		t.Fatalf("Source of %s, again: %v\n%s", name, err, out)
	}
	if !bytes.Equal(out, again) {
		t.Errorf("%s is not stable:\n%s", name, cmp.Diff(string(out), string(again)))
	}
	return out
}

// FuzzFormat checks that formatting a formatted file changes nothing. Source
// itself checks that the result is the same program.
func FuzzFormat(f *testing.F) {
	for _, src := range sources(f) {
		f.Add(string(src))
	}
	f.Add(`x = ['🙂', '🙂 "é"', '\'é', '\u00e9', r'é']`)
	f.Fuzz(func(t *testing.T, src string) {
		out, err := format.Source("Pipelinefile", []byte(src))
		if err != nil {
			return
		}
		again, err := format.Source("Pipelinefile", out)
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("Source(%q) = %q, then %q, %v", src, out, again, err)
		}
	})
}
