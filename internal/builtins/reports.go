package builtins

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// Limits of diagnostics (L4). A file can have a mistake in each of its lines, and no
// reader needs more.
const (
	maxShown   = 50   // errors, and warnings, that an evaluation returns
	maxKept    = 1000 // the first ones in source order are kept
	maxRelated = 50   // related positions of one diagnostic
	maxText    = 10_000
)

// reports are the diagnostics of one severity.
type reports struct {
	list []plan.Diagnostic
	more int // that were dropped
	seen map[place]bool
}

// A place identifies equal diagnostics, such as those of a call in a loop.
type place struct {
	pos, from plan.Pos
	message   uint64 // a hash: all messages together can be large
}

// Report records an error or a warning, and adds its source line. If a parameter has no
// value, evaluation continues with a stand-in to find the others. Errors after that are
// dropped, because the stand-in may be their cause.
func (s *Session) Report(d plan.Diagnostic) {
	if d.Severity == plan.SeverityWarning || len(s.Missing) == 0 {
		s.ReportSure(d)
	}
}

// ReportSure is Report for what no parameter's value can be the cause of.
func (s *Session) ReportSure(d plan.Diagnostic) {
	if d.Suggest != "" {
		d.Hint = fmt.Sprintf("did you mean %q?", d.Suggest)
	}
	// The report is kept, even if this charge ends the evaluation.
	_ = s.Meter.Charge(uint64(diagnosticSize + len(d.Message) + len(d.Hint)))
	r := &s.errors
	if d.Severity == plan.SeverityWarning {
		r = &s.warnings
	}
	at := place{pos: d.Pos}
	if len(d.Stack) > 0 {
		at.from = d.Stack[0].Pos
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(d.Message)) // never fails
	at.message = sum.Sum64()
	if r.seen[at] {
		return
	}
	if r.seen == nil {
		r.seen = map[place]bool{}
	}
	r.seen[at] = true
	if len(r.list) == maxKept {
		r.more++
		return
	}
	r.list = append(r.list, s.completed(d))
}

// completed returns d with its source lines, and with long strings and lists shortened.
func (s *Session) completed(d plan.Diagnostic) plan.Diagnostic {
	d.Message, d.Hint = clipText(d.Message), clipText(d.Hint)
	if d.Line == "" {
		d.Line = s.line(d.Pos)
	}
	if n := len(d.Related) - maxRelated; n > 0 {
		d.Related = d.Related[:maxRelated:maxRelated]
		d.Related[maxRelated-1].Message = fmt.Sprintf("and at %d more places, from here on", n+1)
	}
	for i := range d.Related {
		if d.Related[i].Line == "" {
			d.Related[i].Line = s.line(d.Related[i].Pos)
		}
	}
	return d
}

// clipText shortens a string that is too long to be read.
func clipText(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

func (s *Session) line(p plan.Pos) string {
	if src := s.sources[p.File]; src != nil && p.Line > 0 {
		return src.Line(p.Line)
	}
	return ""
}

// Failed reports whether there are errors.
func (s *Session) Failed() bool { return len(s.errors.list) > 0 }

// Errors returns the errors in source order: by file in the order of loading, starting
// with the Pipelinefile, then by line. If there are more than fifty, the last one says
// how many are left out, at the position of the first of these.
func (s *Session) Errors() []plan.Diagnostic { return s.sorted(s.errors, "mistakes") }

// Warnings returns the warnings, as Errors does the errors.
func (s *Session) Warnings() []plan.Diagnostic { return s.sorted(s.warnings, "warnings") }

func (s *Session) sorted(r reports, kind string) []plan.Diagnostic {
	out := slices.Clone(r.list)
	order := func(p plan.Pos) int {
		if src := s.sources[p.File]; src != nil {
			return src.order
		}
		return -1
	}
	slices.SortStableFunc(out, func(a, b plan.Diagnostic) int {
		return cmp.Or(cmp.Compare(order(a.Pos), order(b.Pos)), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	if more := len(out) - maxShown + r.more; more > 1 {
		next := out[maxShown]
		out = append(out[:maxShown:maxShown], plan.Diagnostic{
			Severity: next.Severity, Pos: next.Pos, Line: next.Line,
			Message: fmt.Sprintf("%d more %s, from here on", more, kind), Hint: "fix the ones above first",
		})
	}
	return out
}
