package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// differs is the failure of a comparison.
func differs(g interp.Golden) Failure {
	f := Failure{Diagnostic: plan.Diagnostic{
		Severity: plan.SeverityError, Pos: g.Pos, Line: g.Line, Message: "golden: " + g.Path + " holds something else",
		Hint: "if what is there now is meant: pipe test --update",
	}}
	if g.Missing {
		f.Message, f.Hint = "golden: there is no "+g.Path, "write it: pipe test --update"
		return f
	}
	f.Diff = difference(g)
	return f
}

// What is compared whole: the work grows with the square of the lines.
const (
	mostLines = 2000
	mostBytes = 1 << 20
)

// difference shows what differs, as a unified diff.
func difference(g interp.Golden) string {
	a, b := lines(g.Want), lines(g.Got)
	if max(len(a), len(b)) > mostLines || max(len(g.Want), len(g.Got)) > mostBytes {
		return firstDifference(a, b)
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: a, B: b, FromFile: g.Path, ToFile: g.Path + " (now)", Context: 3,
	})
	if err != nil { // it is of the writer, which is memory
		return err.Error()
	}
	return text
}

// lines returns the lines of a text, each with its end.
func lines(text string) []string {
	all := strings.SplitAfter(text, "\n")
	last := len(all) - 1
	if all[last] == "" {
		return all[:last]
	}
	all[last] += "\n\\ no newline at the end\n"
	return all
}

// firstDifference shows the lines where large texts begin to differ.
func firstDifference(a, b []string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	var out strings.Builder
	fmt.Fprintf(&out, "@@ line %d, the first that differs; %d lines are there, and %d now @@\n", n+1, len(a), len(b))
	show(&out, "-", a, n)
	show(&out, "+", b, n)
	return out.String()
}

// longestLine is how much is shown of a line of a large text, in characters.
const longestLine = 200

// show writes the lines of a text from n on, but not many, and not all of long ones.
func show(out *strings.Builder, sign string, lines []string, n int) {
	for _, line := range lines[n:min(n+5, len(lines))] {
		if r := []rune(line); len(r) > longestLine {
			line = string(r[:longestLine]) + "…\n"
		}
		out.WriteString(sign + line)
	}
}

// update writes the files that the tests of f compare with, where they differ.
func (f *file) update() error {
	root, err := os.OpenRoot(f.opts.Root)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // each file was closed by itself
	for i := range f.out.Tests {
		t := &f.out.Tests[i]
		for _, g := range t.tested.Goldens {
			if err := replace(root, g.Path, g.Got); err != nil {
				return fmt.Errorf("update %s: %w", g.Path, err)
			}
			t.Updated = append(t.Updated, g.Path)
		}
		t.tested.Goldens = nil
	}
	return nil
}

// replace gives a file below root another content in one step. It goes through no
// symbolic link: that could lead to what a program obeys.
func replace(root *os.Root, name, text string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(dir)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is no folder", dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	next := path.Join(path.Dir(name), "."+path.Base(name)+".new")
	_ = root.Remove(next) // of a run that was killed
	file, err := root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = root.Rename(next, name)
	}
	if err != nil {
		_ = root.Remove(next)
	}
	return err
}
