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

// differs returns the failure of a comparison.
func differs(g interp.Golden) Failure {
	f := Failure{Diagnostic: plan.Diagnostic{
		Severity: plan.SeverityError, Pos: g.Pos, Line: g.Line, Message: "golden: " + g.Path + " differs",
		Hint: "if the new content is intended: pipe test --update",
	}}
	if g.Missing {
		f.Message, f.Hint = "golden: no file "+g.Path, "create it with: pipe test --update"
		return f
	}
	f.Diff = difference(g)
	return f
}

// Limits for a complete diff, whose cost is quadratic in the number of lines.
const (
	maxLines = 2000
	maxBytes = 1 << 20
)

// difference returns a unified diff.
func difference(g interp.Golden) string {
	a, b := lines(g.Want), lines(g.Got)
	if max(len(a), len(b)) > maxLines || max(len(g.Want), len(g.Got)) > maxBytes {
		return firstDifference(a, b)
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: a, B: b, FromFile: g.Path, ToFile: g.Path + " (now)", Context: 3,
	})
	if err != nil { // cannot happen: a strings.Builder does not fail
		return err.Error()
	}
	return text
}

// lines returns the lines of a text, with line endings.
func lines(text string) []string {
	all := strings.SplitAfter(text, "\n")
	last := len(all) - 1
	if all[last] == "" {
		return all[:last]
	}
	all[last] += "\n\\ no newline at the end\n"
	return all
}

// firstDifference shows the lines at which large texts start to differ.
func firstDifference(a, b []string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	var out strings.Builder
	fmt.Fprintf(&out, "@@ first difference at line %d; %d lines in the file, %d now @@\n", n+1, len(a), len(b))
	show(&out, "-", a, n)
	show(&out, "+", b, n)
	return out.String()
}

// maxLine limits how much of a line of a large text is shown, in characters.
const maxLine = 200

// show writes some lines of a text from n on, and cuts long ones.
func show(out *strings.Builder, sign string, lines []string, n int) {
	for _, line := range lines[n:min(n+5, len(lines))] {
		if r := []rune(line); len(r) > maxLine {
			line = string(r[:maxLine]) + "…\n"
		}
		out.WriteString(sign + line)
	}
}

// update writes the golden files of f that differ.
func (f *file) update() error {
	root, err := os.OpenRoot(f.opts.Root)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // the files are closed already
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

// replace replaces the content of a file below root atomically. It follows no
// symbolic link: one could lead to a file that other programs trust, such as
// .git/config.
func replace(root *os.Root, name, text string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(dir)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	next := path.Join(path.Dir(name), "."+path.Base(name)+".new")
	_ = root.Remove(next) // left by a run that was killed
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
