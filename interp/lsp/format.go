package lsp

import (
	"context"
	"strings"

	"github.com/pipelinefile/pipe/interp/format"
)

// formatting returns the change that lays out a text. One that does not parse
// stays as it is: its diagnostics say why.
func (s *server) formatting(ctx context.Context, p documentParams) (any, error) {
	m, err := s.open(ctx, p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	edits := []textEdit{}
	if !m.whole || isLibrary(m.file) {
		return edits, nil
	}
	out, err := format.Source(below(m.root, m.file), []byte(m.text.data))
	if err != nil || string(out) == m.text.data {
		return edits, nil
	}
	return append(edits, m.text.replaced(string(out))), nil
}

// replaced returns the change that makes t to data: of the lines from the first
// to the last that differ, so that an editor keeps its place.
func (t *text) replaced(data string) textEdit {
	if strings.Contains(t.data, "\r") { // all ends of lines differ
		return textEdit{t.span(0, len(t.data)), data}
	}
	start, end := 0, 0
	for short := min(len(t.data), len(data)); start < short && t.data[start] == data[start]; start++ {
	}
	start = strings.LastIndexByte(data[:start], '\n') + 1
	for end < len(t.data)-start && end < len(data)-start && t.data[len(t.data)-1-end] == data[len(data)-1-end] {
		end++
	}
	// Back to the end of a line, which both have.
	if i := strings.IndexByte(data[len(data)-end:], '\n'); i >= 0 {
		end -= i
	} else {
		end = 0
	}
	return textEdit{t.span(start, len(t.data)-end), data[start : len(data)-end]}
}
