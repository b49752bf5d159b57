package lsp

import (
	"context"
	"strings"

	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/interp/format"
)

// formatting returns the edit that formats a document. A document that does not
// parse is left unchanged: its diagnostics say why.
func (s *server) formatting(ctx context.Context, p documentParams) (any, error) {
	m, err := s.open(ctx, p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	edits := []textEdit{}
	if !m.whole || isLibrary(m.file) {
		return edits, nil
	}
	out, err := format.Source(paths.Below(m.root, m.file), []byte(m.text.data))
	if err != nil || string(out) == m.text.data {
		return edits, nil
	}
	return append(edits, m.text.replaced(string(out))), nil
}

// replaced returns the edit that turns t into data. It covers only the lines
// from the first to the last difference, so that the editor keeps its position.
func (t *text) replaced(data string) textEdit {
	if strings.Contains(t.data, "\r") { // all line endings differ
		return textEdit{t.span(0, len(t.data)), data}
	}
	start, end := 0, 0
	for short := min(len(t.data), len(data)); start < short && t.data[start] == data[start]; start++ {
	}
	start = strings.LastIndexByte(data[:start], '\n') + 1
	for end < len(t.data)-start && end < len(data)-start && t.data[len(t.data)-1-end] == data[len(data)-1-end] {
		end++
	}
	// Go back to the end of a line that both have.
	if i := strings.IndexByte(data[len(data)-end:], '\n'); i >= 0 {
		end -= i
	} else {
		end = 0
	}
	return textEdit{t.span(start, len(t.data)-end), data[start : len(data)-end]}
}
