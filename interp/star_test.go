package interp_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// expectation is ### "regexp" at the end of a line: an error that matches is expected on
// this line. ### warning "regexp" expects a warning, of a file without errors.
var expectation = regexp.MustCompile(`###\s*(warning )?\s*("(?:[^"\\]|\\.)*")`)

type eqArgs struct {
	Got  starlark.Value `arg:"got" help:"what is"`
	Want starlark.Value `arg:"want" help:"what should be"`
}

// eq is a builtin for the tests.
func eq(t *testing.T) *builtins.Func {
	return builtins.New("eq", "None", "Fails the test if two values differ.", func(c *builtins.Call, a *eqArgs) (starlark.Value, error) {
		if same, err := starlark.Equal(a.Got, a.Want); err != nil || !same {
			t.Errorf("%s: got %v, want %v", c.Pos(), a.Got, a.Want)
		}
		return starlark.None, nil
	})
}

// TestStar evaluates each chunk of testdata/*.star as a separate Pipelinefile, named
// after the file. It adds pipeline("test") to chunks that do not call it.
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
	want := map[plan.Severity]map[int][]*regexp.Regexp{plan.SeverityError: {}, plan.SeverityWarning: {}}
	for i, l := range strings.Split(src, "\n") {
		for _, m := range expectation.FindAllStringSubmatch(l, -1) {
			text, err := strconv.Unquote(m[2])
			if err != nil {
				t.Fatalf("%s:%d: %v", name, i+1, err)
			}
			severity := plan.SeverityError
			if m[1] != "" {
				severity = plan.SeverityWarning
			}
			want[severity][i+1] = append(want[severity][i+1], regexp.MustCompile(text))
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
	p, err := interp.Eval(t.Context(), file, interp.Options{Root: dir, Builtins: []*builtins.Func{eq(t)}})
	var wrong *interp.Error
	if err != nil && !errors.As(err, &wrong) {
		t.Fatalf("Eval: %v", err)
	}
	var found []plan.Diagnostic
	if wrong != nil {
		found = wrong.Diagnostics
	} else {
		found = p.Warnings
	}
next:
	for _, d := range found {
		list := want[d.Severity][d.Pos.Line]
		for i, re := range list {
			if re.MatchString(d.Message + "; " + d.Hint) {
				want[d.Severity][d.Pos.Line] = slices.Delete(list, i, i+1)
				continue next
			}
		}
		t.Errorf("unexpected %s: %s", d.Severity, d)
	}
	for severity, lines := range want {
		for line, list := range lines {
			for _, re := range list {
				t.Errorf("%s:%d: no %s that matches %q", name, line, severity, re)
			}
		}
	}
}
