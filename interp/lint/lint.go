// Package lint finds valid but questionable code: in the source of a file, and
// in the plan that it produces.
package lint

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// A Finding is one thing to change, or to silence with a reason.
type Finding struct {
	Rule    string         `json:"rule"` // one of Rules; empty: the number of omitted findings
	Pos     plan.Pos       `json:"pos"`
	Message string         `json:"message"`
	Line    string         `json:"line,omitempty"` // the source line
	Hint    string         `json:"hint,omitempty"`
	Related []plan.Related `json:"related,omitempty"`
	Fix     *Edit          `json:"fix,omitempty"` // nil: there is no automatic fix
}

// Diagnostic returns f as a warning.
func (f Finding) Diagnostic() plan.Diagnostic {
	message := f.Message
	if f.Rule != "" {
		message += " (" + f.Rule + ")"
	}
	return plan.Diagnostic{
		Severity: plan.SeverityWarning, Pos: f.Pos, Message: message, Line: f.Line, Hint: f.Hint, Related: f.Related,
	}
}

// First returns the first findings of a list, limited to most. If it omits some,
// it adds a finding with their number, at the position of the first omitted one.
// It never omits a single finding, whose place that message would take.
func First(most int, list []Finding) []Finding {
	if len(list) <= most+1 {
		return list
	}
	next := list[most]
	return append(list[:most:most], Finding{Pos: next.Pos, Line: next.Line, Message: fmt.Sprintf("%d more findings, from here on", len(list)-most)})
}

// An Edit replaces the text between two positions of a file with New.
type Edit struct {
	Start plan.Pos `json:"start"`
	End   plan.Pos `json:"end"` // the first position after the replaced text
	New   string   `json:"new"`
}

// A Kind says what a file is, as far as rules depend on it.
type Kind int

// The kinds of files. The top-level names of a Module are for the files that load it.
const (
	Module Kind = iota
	Pipelinefile
)

// Source returns the findings for the source of one file, in source order. It
// returns an *interp.Error if the file cannot be parsed or has undefined names.
// Of the options it uses those of Check.
func Source(ctx context.Context, name string, kind Kind, src []byte, opts interp.Options) ([]Finding, error) {
	tree, wrong := interp.Check(ctx, name, src, opts)
	if len(wrong) > 0 {
		return nil, &interp.Error{Diagnostics: wrong}
	}
	l := &linter{name: name, kind: kind, text: newText(src)}
	l.names(tree)
	return l.done(), nil
}

// A linter checks one file.
type linter struct {
	name  string
	kind  Kind
	text  text
	found []Finding
}

func (l *linter) add(rule string, at syntax.Position, message, hint string) *Finding {
	l.found = append(l.found, Finding{
		Rule: rule, Pos: l.pos(at), Message: message, Hint: hint, Line: l.text.shown(int(at.Line)),
	})
	return &l.found[len(l.found)-1]
}

func (l *linter) pos(p syntax.Position) plan.Pos {
	return plan.Pos{File: l.name, Line: int(p.Line), Col: int(p.Col)}
}

// done returns the findings, in order.
func (l *linter) done() []Finding {
	Sort(l.found)
	return l.found
}

// Sort sorts findings by file, line and column.
func Sort(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col), cmp.Compare(a.Rule, b.Rule))
	})
}
