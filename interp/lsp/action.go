package lsp

import "context"

// codeActions offers fixes for diagnostics that suggest what was probably meant.
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
		if d.Source != source || d.Data == nil {
			continue
		}
		if d.Data.Edit != nil {
			fix("Correct: "+d.Message, d, *d.Data.Edit)
			continue
		}
		start, end := m.text.offset(d.Range.Start), m.text.offset(d.Range.End)
		if d.Data.Suggest == "" || start >= end {
			continue
		}
		name, old := d.Data.Suggest, m.text.data[start:end]
		if q := old[0]; len(old) > 1 && (q == '"' || q == '\'') {
			name = string(q) + name + string(q)
		} else if !isName(old) || !isName(name) {
			continue
		}
		fix("Write "+name, d, textEdit{d.Range, name})
	}
	return out, nil
}
