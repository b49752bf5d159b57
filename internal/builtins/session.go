package builtins

import (
	"cmp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/plan"
)

// A Session is one evaluation as the builtins see it: what is given to it, what
// it may read, and what the Pipelinefile declares. Builtins record here and
// decide nothing that needs the whole file.
type Session struct {
	Environment plan.EnvironmentRef
	Version     string            // of pipe, for require_version(); empty: accepts all
	Values      map[string]string // of parameters, as given
	StandIns    bool              // parameters without a value have a made-up one, and are not Missing
	Files       *Files
	Meter       *Meter // nil: no bounds
	Tests       *Tests // nil: no test is run

	Pipeline *plan.Pipeline // nil until pipeline() was called
	Params   []plan.Param
	Stages   []*Stage // as declared
	Edits    []Edit   // renames and removals, as declared
	Rules    []Rule
	Services []*Service // as declared
	Skips    []Skip
	Missing  []Missing // parameters that need a value and have none

	names    map[string]*Service
	sources  map[string]*Source
	diags    []plan.Diagnostic
	warnings []plan.Diagnostic
}

// NewSession returns a session that reads files through f.
func NewSession(f *Files) *Session {
	return &Session{Files: f, names: map[string]*Service{}, sources: map[string]*Source{}}
}

// AddSource makes the session know a file, before it runs.
func (s *Session) AddSource(src *Source) {
	if old := s.sources[src.Name]; old != nil {
		src.order = old.order
	} else {
		src.order = len(s.sources)
	}
	s.sources[src.Name] = src
}

// Source returns the file of that name, or nil.
func (s *Session) Source(name string) *Source { return s.sources[name] }

// Sources returns the names of the files, in the order of loading.
func (s *Session) Sources() []string {
	names := sortedKeys(s.sources)
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(s.sources[a].order, s.sources[b].order) })
	return names
}

// Report records an error or a warning, and adds the text of its line. When a
// parameter has no value evaluation goes on with a stand-in, to find the others;
// errors from then on are dropped, because they may come from that.
func (s *Session) Report(d plan.Diagnostic) {
	if d.Severity == plan.Warning || len(s.Missing) == 0 {
		s.ReportSure(d)
	}
}

// ReportSure is Report for what no parameter's value can be the cause of.
func (s *Session) ReportSure(d plan.Diagnostic) {
	// What is reported is kept, even if evaluation ends with it.
	_ = s.Meter.Charge(uint64(diagnosticSize + len(d.Message) + len(d.Hint)))
	d.Message, d.Hint = clipText(d.Message), clipText(d.Hint)
	if d.Line == "" {
		d.Line = s.line(d.Pos)
	}
	for i := range d.Related {
		if d.Related[i].Line == "" {
			d.Related[i].Line = s.line(d.Related[i].Pos)
		}
	}
	if d.Severity == plan.Warning {
		s.warnings = append(s.warnings, d)
		return
	}
	s.diags = append(s.diags, d)
}

// clipText shortens what nobody would read to its end.
func clipText(s string) string {
	const most = 10_000 // bytes
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (s *Session) line(p plan.Pos) string {
	if src := s.sources[p.File]; src != nil && p.Line > 0 {
		return src.Line(p.Line)
	}
	return ""
}

// Errors returns the errors in source order: by file as loaded, the
// Pipelinefile first, then by line.
func (s *Session) Errors() []plan.Diagnostic { return s.sorted(s.diags) }

// Warnings returns the warnings in source order.
func (s *Session) Warnings() []plan.Diagnostic { return s.sorted(s.warnings) }

// sorted also drops what is said twice of one place, as by a call in a loop.
func (s *Session) sorted(list []plan.Diagnostic) []plan.Diagnostic {
	type place struct {
		pos, from plan.Pos
		message   string
	}
	seen := map[place]bool{}
	out := slices.DeleteFunc(slices.Clone(list), func(d plan.Diagnostic) bool {
		p := place{pos: d.Pos, message: d.Message}
		if len(d.Stack) > 0 {
			p.from = d.Stack[0].Pos
		}
		again := seen[p]
		seen[p] = true
		return again
	})
	order := func(p plan.Pos) int {
		if src := s.sources[p.File]; src != nil {
			return src.order
		}
		return -1
	}
	slices.SortStableFunc(out, func(a, b plan.Diagnostic) int {
		return cmp.Or(cmp.Compare(order(a.Pos), order(b.Pos)), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return out
}

// frame returns the innermost call in a file that ok accepts, and its source.
// Depth 0 is the builtin itself.
func (s *Session) frame(th *starlark.Thread, ok func(*Source) bool) (syntax.Position, *Source) {
	for depth := 1; depth < th.CallStackDepth(); depth++ {
		p := th.CallFrame(depth).Pos
		if src := s.sources[p.Filename()]; src != nil && ok(src) {
			return p, src
		}
	}
	return syntax.Position{}, nil
}

// caller returns the innermost call that stands in the workspace.
func (s *Session) caller(th *starlark.Thread) (*Source, plan.Pos) {
	p, src := s.frame(th, func(src *Source) bool { return !src.Library })
	if src == nil {
		return nil, plan.Pos{}
	}
	return src, src.Pos(p)
}

// callExpr returns the innermost call as it is written.
func (s *Session) callExpr(th *starlark.Thread) (*syntax.CallExpr, *Source) {
	p, src := s.frame(th, func(*Source) bool { return true })
	if src == nil {
		return nil, nil
	}
	return src.calls[key(p)], src
}

// stack returns the calls that lead to a builtin, outermost first; none if it
// was called at the top of the Pipelinefile.
func (s *Session) stack(th *starlark.Thread) []plan.Frame {
	if th.CallStackDepth() <= 2 {
		return nil
	}
	return s.Frames(th.CallStack()[:th.CallStackDepth()-1])
}

// Frames returns the frames of stack that stand in files.
func (s *Session) Frames(stack starlark.CallStack) []plan.Frame {
	var out []plan.Frame
	for _, fr := range stack {
		if src := s.sources[fr.Pos.Filename()]; src != nil {
			out = append(out, plan.Frame{Name: fr.Name, Pos: src.Pos(fr.Pos)})
		}
	}
	return out
}
