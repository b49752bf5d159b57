package lsp

import (
	"context"
	"regexp"
)

// suggestion is how a hint says what may be meant.
var suggestion = regexp.MustCompile(`\ndid you mean "([^"\n]+)"\?$`)

// codeActions offers to write what an error's hint says that may be meant.
func (s *server) codeActions(ctx context.Context, p codeActionParams) (any, error) {
	out := []codeAction{}
	m, err := s.open(ctx, p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	fix := func(title string, d diagnostic, e textEdit) {
		out = append(out, codeAction{
			Title: title, Kind: "quickfix", Diagnostics: []diagnostic{d}, IsPreferred: true,
			Edit: &workspaceEdit{map[string][]textEdit{p.TextDocument.URI: {e}}},
		})
	}
	for _, d := range p.Context.Diagnostics {
		if d.Source == source && d.Data != nil {
			fix("Correct: "+d.Message, d, *d.Data)
			continue
		}
		found := suggestion.FindStringSubmatch(d.Message)
		start, end := m.text.offset(d.Range.Start), m.text.offset(d.Range.End)
		if d.Source != source || found == nil || start >= end {
			continue
		}
		name, old := found[1], m.text.data[start:end]
		if q := old[0]; len(old) > 1 && (q == '"' || q == '\'') {
			name = string(q) + name + string(q)
		} else if !isName(old) || !isName(name) {
			continue
		}
		fix("Write "+name, d, textEdit{d.Range, name})
	}
	return out, nil
}
