package lsp

import (
	"sort"
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"
)

// A text is the content of a file with the places of its lines. Three ways to
// count meet here: the protocol counts UTF-16 units from 0, Starlark runes from
// 1, and Go bytes. A text does not change.
type text struct {
	data  string
	lines []int // where each line starts
}

func newText(data string) *text {
	t := &text{data: data, lines: []int{0}}
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '\r':
			if i+1 < len(data) && data[i+1] == '\n' {
				i++
			}
			t.lines = append(t.lines, i+1)
		case '\n':
			t.lines = append(t.lines, i+1)
		}
	}
	return t
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

// offset returns where p is; the nearest place there is, if p is outside.
func (t *text) offset(p position) int {
	if p.Line < 0 {
		return 0
	}
	if p.Line >= len(t.lines) {
		return len(t.data)
	}
	return t.lines[p.Line] + byteOf(t.line(p.Line), p.Character)
}

// byteOf returns the index in line of a number of UTF-16 units; of one in the
// middle of a character its start.
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

// position returns the place of the byte at off.
func (t *text) position(off int) position {
	off = max(0, min(off, len(t.data)))
	line := sort.SearchInts(t.lines, off+1) - 1
	return position{line, utf16Count(t.data[t.lines[line]:off])}
}

// at returns the byte at a position of Starlark.
func (t *text) at(p syntax.Position) int {
	n := int(p.Line) - 1
	if n < 0 {
		return 0
	}
	if n >= len(t.lines) {
		return len(t.data)
	}
	line := t.line(n)
	return t.lines[n] + runes(line, int(p.Col)-1)
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

// node returns where a part of the syntax stands.
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
