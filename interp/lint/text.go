package lint

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

// A text is the content of a file, split into lines.
type text struct {
	lines  []string // with line endings
	starts []int    // in bytes
}

func newText(src []byte) text {
	t := text{lines: strings.SplitAfter(string(src), "\n")}
	t.starts = make([]int, len(t.lines)+1)
	for i, line := range t.lines {
		t.starts[i+1] = t.starts[i] + len(line)
	}
	return t
}

// line returns line n, counted from 1, without its line ending.
func (t text) line(n int) string {
	if n < 1 || n > len(t.lines) {
		return ""
	}
	return strings.TrimRight(t.lines[n-1], "\r\n")
}

// maxLine is the length, in bytes, of the longest line that is shown or fixed.
const maxLine = 2000

// long reports whether line n is longer.
func (t text) long(n int) bool { return len(t.line(n)) > maxLine }

// shown returns line n without the credentials of the URLs in it; "" if it is too long to be shown.
func (t text) shown(n int) string {
	if t.long(n) {
		return ""
	}
	return redact.Source(t.line(n))
}

// offset returns the byte offset of p.
func (t text) offset(p plan.Pos) int {
	if p.Line < 1 || p.Line > len(t.lines) {
		return t.starts[min(max(p.Line-1, 0), len(t.lines))]
	}
	n, line := t.starts[p.Line-1], t.lines[p.Line-1]
	for range p.Col - 1 {
		_, size := utf8.DecodeRuneInString(line)
		n, line = n+size, line[size:]
	}
	return n
}

// without returns the edit that removes the comment that starts at p, and its
// line if nothing else is on it.
func (t text) without(p plan.Pos) *Edit {
	before := t.line(p.Line)[:t.offset(p)-t.offset(plan.Pos{Line: p.Line, Col: 1})]
	code := []rune(strings.TrimRight(before, " \t"))
	if len(code) == 0 {
		return &Edit{Start: plan.Pos{File: p.File, Line: p.Line, Col: 1}, End: plan.Pos{File: p.File, Line: p.Line + 1, Col: 1}}
	}
	end := plan.Pos{File: p.File, Line: p.Line, Col: len([]rune(t.line(p.Line))) + 1}
	return &Edit{Start: plan.Pos{File: p.File, Line: p.Line, Col: len(code) + 1}, End: end}
}

// Fix returns src with the fixes of the findings of that one file, and how many
// were applied. A fix that overlaps another one is left for the next run.
func Fix(src []byte, findings []Finding) ([]byte, int) {
	sorted := append([]Finding(nil), findings...)
	Sort(sorted)
	t := newText(src)
	var out bytes.Buffer
	at, n := 0, 0
	for _, f := range sorted {
		if f.Fix == nil || t.long(f.Fix.Start.Line) || t.long(f.Fix.End.Line) {
			continue
		}
		start, end := t.offset(f.Fix.Start), t.offset(f.Fix.End)
		if start < at || end < start {
			continue
		}
		out.Write(src[at:start])
		out.WriteString(f.Fix.New)
		at = end
		n++
	}
	out.Write(src[at:])
	return out.Bytes(), n
}

// Lines returns a function that returns a line of src, counted from 1, without
// its line ending; "" for one that is too long to be shown.
func Lines(src []byte) func(line int) string { return newText(src).shown }
