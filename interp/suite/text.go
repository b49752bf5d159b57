package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Write writes the result of a file as text: what went wrong, then a line for
// the file. With all it also writes the passed tests and what they printed.
// Diagnostics of a file that cannot be parsed are left to the caller.
func Write(w io.Writer, f File, all bool) error {
	var b strings.Builder
	for _, t := range f.Tests {
		verdict := "PASS"
		if len(t.Failures) > 0 {
			verdict = "FAIL"
		}
		if verdict == "FAIL" || all {
			fmt.Fprintf(&b, "--- %s: %s (%.2fs)\n", verdict, t.Name, t.Seconds)
			for _, line := range t.Printed {
				indent(&b, line.Pos.String()+": "+line.Text)
			}
		}
		for _, failure := range t.Failures {
			indent(&b, failure.String())
			indent(&b, failure.Diff)
		}
		for _, name := range t.Updated {
			fmt.Fprintf(&b, "updated %s\n", name)
		}
	}
	switch n := f.Failed(); {
	case len(f.Wrong) > 0:
		fmt.Fprintf(&b, "FAIL  %s  invalid\n", f.Name)
	case n > 0:
		fmt.Fprintf(&b, "FAIL  %s  %d of %d failed  %.2fs\n", f.Name, n, len(f.Tests), f.Seconds)
	case len(f.Tests) > 0:
		fmt.Fprintf(&b, "ok    %s  %s  %.2fs\n", f.Name, counted(len(f.Tests)), f.Seconds)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Check runs tests as [Run] does and returns all failures as one error, for use
// in Go tests. It is also an error if there are no tests.
func Check(ctx context.Context, paths []string, opts Options) error {
	files, err := Run(ctx, paths, opts)
	if err != nil {
		return err
	}
	var b strings.Builder
	tests := 0
	for _, f := range files {
		tests += len(f.Tests)
		for _, d := range f.Wrong {
			b.WriteString(d.String() + "\n")
		}
		if f.Failed() > 0 {
			_ = Write(&b, f, false) // to memory
		}
	}
	switch {
	case b.Len() > 0:
		return errors.New(b.String())
	case tests == 0:
		return errors.New("there are no tests")
	}
	return nil
}

// counted returns a number of tests in words.
func counted(n int) string {
	if n == 1 {
		return "one test"
	}
	return fmt.Sprintf("%d tests", n)
}

// indent writes the lines of a text indented below a test.
func indent(b *strings.Builder, text string) {
	for line := range strings.Lines(text) {
		b.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
	}
}
