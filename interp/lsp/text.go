package lsp

import (
	"sort"
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"
)

// A text is the content of a file with the offsets of its lines. It converts
// between three ways to count: the protocol counts UTF-16 units from 0,
// Starlark counts runes from 1, and Go counts bytes. A text is immutable.
type text struct {
	data  string
	lines []int  // where each line starts
	marks []mark // of every marked-th byte; nil: the text is not valid UTF-8
}

// A mark records how many characters of a line precede a byte, so that a long
// line is not counted from its start for each name.
type mark struct{ runes, units int }

const marked = 512

func newText(data string) *text {
	t := &text{data: data, lines: []int{0}}
	valid := utf8.ValidString(data)
	var m mark
	for i := 0; i < len(data); i++ {
		if valid && i%marked == 0 {
			t.marks = append(t.marks, m)
		}
		switch c := data[i]; {
		case c == '\n', c == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			t.lines = append(t.lines, i+1)
			m = mark{}
		case utf8.RuneStart(c):
			m.runes++
			m.units++
			if c >= 0xf0 { // beyond U+FFFF
				m.units++
			}
		}
	}
	return t
}

// from returns the last mark of a line that ok accepts, and the byte at which
// its count ends; the start of the line if there is none. ok must accept a
// prefix of the marks.
func (t *text) from(line int, ok func(off int, m mark) bool) (off int, m mark) {
	start, end := t.lines[line], len(t.data)
	if line+1 < len(t.lines) {
		end = t.lines[line+1]
	}
	first := min(start/marked+1, len(t.marks))
	last := max(first, min((end+marked-1)/marked, len(t.marks)))
	n := sort.Search(last-first, func(i int) bool { return !ok((first+i)*marked, t.marks[first+i]) })
	if n == 0 {
		return start, mark{}
	}
	off, m = (first+n-1)*marked, t.marks[first+n-1]
	for off < end && !utf8.RuneStart(t.data[off]) {
		off++
	}
	return off, m
}

// line returns line n, counted from 0, without its end.
func (t *text) line(n int) string {
	if n < 0 || n >= len(t.lines) {
		return ""
	}
	end := len(t.data)
	if n+1 < len(t.lines) {
		end = t.lines[n+1]
	}
	return strings.TrimRight(t.data[t.lines[n]:end], "\r\n")
}

// offset returns the byte offset of p, or the nearest one if p is outside of the text.
func (t *text) offset(p position) int {
	if p.Line < 0 {
		return 0
	}
	if p.Line >= len(t.lines) {
		return len(t.data)
	}
	return t.lines[p.Line] + byteOf(t.line(p.Line), p.Character)
}

// byteOf returns the byte index in line for a number of UTF-16 units; an index
// within a character is rounded down to its start.
func byteOf(line string, units int) int {
	for i, r := range line {
		n := utf16Len(r)
		if units < n {
			return i
		}
		units -= n
	}
	return len(line)
}

func utf16Len(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

func utf16Count(s string) int {
	n := 0
	for _, r := range s {
		n += utf16Len(r)
	}
	return n
}

// position returns the position of the byte at off.
func (t *text) position(off int) position {
	off = max(0, min(off, len(t.data)))
	line := sort.SearchInts(t.lines, off+1) - 1
	start, m := t.from(line, func(at int, _ mark) bool { return at+utf8.UTFMax <= off })
	return position{line, m.units + utf16Count(t.data[start:off])}
}

// at returns the byte offset of a Starlark position.
func (t *text) at(p syntax.Position) int {
	n := int(p.Line) - 1
	if n < 0 {
		return 0
	}
	if n >= len(t.lines) {
		return len(t.data)
	}
	col, end := int(p.Col)-1, t.lines[n]+len(t.line(n))
	start, m := t.from(n, func(_ int, m mark) bool { return m.runes <= col })
	start = min(start, end)
	return start + runes(t.data[start:end], col-m.runes)
}

// runes returns the index in line after n runes.
func runes(line string, n int) int {
	i := 0
	for ; n > 0 && i < len(line); n-- {
		_, size := utf8.DecodeRuneInString(line[i:])
		i += size
	}
	return i
}

func (t *text) span(start, end int) span { return span{t.position(start), t.position(end)} }

// node returns the range of a syntax node.
func (t *text) node(n syntax.Node) (start, end int) {
	s, e := n.Span()
	return t.at(s), t.at(e)
}

// edited returns the text after a change.
func (t *text) edited(c change) *text {
	if c.Range == nil {
		return newText(c.Text)
	}
	start, end := t.offset(c.Range.Start), t.offset(c.Range.End)
	if end < start {
		start, end = end, start
	}
	return newText(t.data[:start] + c.Text + t.data[end:])
}
