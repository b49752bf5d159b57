// Package lint looks for what is right in the language and wrong all the same:
// in the text of a file, and in the plan that it makes.
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

// A Finding is one thing that should be changed, or silenced with a reason.
type Finding struct {
	Rule    string         `json:"rule"` // one of Rules; empty: it says how many more there are
	Pos     plan.Pos       `json:"pos"`
	Message string         `json:"message"`
	Line    string         `json:"line,omitempty"` // the source line
	Hint    string         `json:"hint,omitempty"`
	Related []plan.Related `json:"related,omitempty"`
	Fix     *Edit          `json:"fix,omitempty"` // nil: nobody but the author can tell
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

// First returns at most the first findings of a list, and, if there are others, a
// finding that says how many, at the first of these.
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
	End   plan.Pos `json:"end"` // the first position that stays
	New   string   `json:"new"`
}

// A Kind says what a file is, as far as rules differ.
type Kind int

// The kinds of files. Names at the top of a Module are for others.
const (
	Module Kind = iota
	Pipelinefile
)

// Source returns what the text of one file alone shows, in source order; and
// an *interp.Error if it cannot be parsed or has names that there are not.
// Of the options Check's are used.
func Source(ctx context.Context, name string, kind Kind, src []byte, opts interp.Options) ([]Finding, error) {
	tree, wrong := interp.Check(ctx, name, src, opts)
	if len(wrong) > 0 {
		return nil, &interp.Error{Diagnostics: wrong}
	}
	l := &linter{name: name, kind: kind, text: newText(src)}
	l.names(tree)
	return l.done(), nil
}

// A linter looks at one file.
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

// done returns what was found, in order.
func (l *linter) done() []Finding {
	Sort(l.found)
	return l.found
}

// Sort brings findings into the order of files, lines and columns.
func Sort(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col), cmp.Compare(a.Rule, b.Rule))
	})
}
