package interp_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
)

// expectation is ### "regexp" at the end of a line: an error with that text has
// this line.
var expectation = regexp.MustCompile(`###\s*("(?:[^"\\]|\\.)*")`)

type eqArgs struct {
	Got  starlark.Value `arg:"got" help:"what is"`
	Want starlark.Value `arg:"want" help:"what should be"`
}

// eq is a builtin of the tests.
func eq(t *testing.T) *builtins.Func {
	return builtins.New("eq", "None", "Fails the test if two values differ.", func(c *builtins.Call, a *eqArgs) (starlark.Value, error) {
		if same, err := starlark.Equal(a.Got, a.Want); err != nil || !same {
			t.Errorf("%s: got %v, want %v", c.Pos(), a.Got, a.Want)
		}
		return starlark.None, nil
	})
}

// TestStar evaluates each chunk of testdata/*.star as a Pipelinefile of its own,
// named after the file, with pipeline("test") where it does not call it.
func TestStar(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line := 1
		for chunk := range strings.SplitSeq(string(text), "\n---\n") {
			first := line
			line += strings.Count(chunk, "\n") + 2
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(file), first), func(t *testing.T) {
				star(t, filepath.Base(file), strings.Repeat("\n", first-1)+chunk)
			})
		}
	}
}

func star(t *testing.T, name, src string) {
	t.Helper()
	want := map[int][]*regexp.Regexp{}
	for i, l := range strings.Split(src, "\n") {
		for _, m := range expectation.FindAllStringSubmatch(l, -1) {
			text, err := strconv.Unquote(m[1])
			if err != nil {
				t.Fatalf("%s:%d: %v", name, i+1, err)
			}
			want[i+1] = append(want[i+1], regexp.MustCompile(text))
		}
	}
	if !strings.Contains(src, "pipeline(") {
		src += "\npipeline(\"test\")\n"
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/files")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := interp.Eval(t.Context(), file, interp.Options{Root: dir, Builtins: []*builtins.Func{eq(t)}})
	var wrong *interp.Error
	if err != nil && !errors.As(err, &wrong) {
		t.Fatalf("Eval: %v", err)
	}
	if wrong != nil {
	next:
		for _, d := range wrong.Diagnostics {
			for i, re := range want[d.Pos.Line] {
				if re.MatchString(d.Message + "; " + d.Hint) {
					want[d.Pos.Line] = append(want[d.Pos.Line][:i], want[d.Pos.Line][i+1:]...)
					continue next
				}
			}
			t.Errorf("unexpected error: %s", d)
		}
	}
	for line, list := range want {
		for _, re := range list {
			t.Errorf("%s:%d: no error that matches %q", name, line, re)
		}
	}
}
