package builtins

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/plan"
)

// A Session is one evaluation from the view of the builtins: its inputs, what it may
// read, and what the Pipelinefile declares. Builtins only record here; everything that
// depends on the whole file is decided later.
type Session struct {
	Environment plan.EnvironmentRef
	Version     string            // of pipe, for require_version(); empty: accepts all
	Values      map[string]string // of parameters, as passed
	StandIns    bool              // parameters without a value get a made-up one, and are not Missing
	Files       *Files
	Meter       *bounded.Meter // nil: no limits
	Tests       *Tests         // nil: no test is running

	Pipeline *plan.Pipeline // nil until pipeline() is called
	Params   []plan.Param
	Stages   []*Stage // in declaration order
	Edits    []Edit   // renames and removals, in declaration order
	Rules    []Rule
	Services []*Service // in declaration order
	Skips    []Skip
	Missing  []Missing // parameters that need a value and have none

	names       map[string]*Service
	disks       map[string]plan.Pos // of disk(), by name
	valuesFiles map[string]bool     // those that were checked
	params      map[string]plan.Pos // position of each declaration
	sources     map[string]*Source
	errors      reports
	warnings    reports
}

// NewSession returns a session that reads files through f.
func NewSession(f *Files) *Session {
	return &Session{Files: f, names: map[string]*Service{}, params: map[string]plan.Pos{}, sources: map[string]*Source{}}
}

// AddSource adds a file to the session, before it runs.
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
	names := slices.Sorted(maps.Keys(s.sources))
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(s.sources[a].order, s.sources[b].order) })
	return names
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

// caller returns the innermost call in the workspace.
func (s *Session) caller(th *starlark.Thread) (*Source, plan.Pos) {
	p, src := s.frame(th, func(src *Source) bool { return !src.Library })
	if src == nil {
		return nil, plan.Pos{}
	}
	return src, src.Pos(p)
}

// Stack returns the calls that lead to a builtin, outermost first; nil if it was called
// at the top level of the Pipelinefile.
func (s *Session) Stack(th *starlark.Thread) []plan.Frame {
	n := th.CallStackDepth()
	if n <= 2 {
		return nil
	}
	return s.frames(n-1, func(i int) starlark.CallFrame { return th.CallFrame(n - 1 - i) })
}

// Frames returns the frames of stack that are in files.
func (s *Session) Frames(stack starlark.CallStack) []plan.Frame {
	return s.frames(len(stack), func(i int) starlark.CallFrame { return stack[i] })
}

// maxFrames is the maximum number of frames of a stack that are kept: half of them the
// outermost, half the innermost.
const maxFrames = 50

// frames returns those of n frames that are in files.
func (s *Session) frames(n int, at func(int) starlark.CallFrame) []plan.Frame {
	var out []plan.Frame
	for i := 0; i < n; i++ {
		fr := at(i)
		if left := n - maxFrames; left > 0 && i == maxFrames/2 {
			fr.Name = fmt.Sprintf("%d more calls", left)
			i += left - 1
		}
		if src := s.sources[fr.Pos.Filename()]; src != nil {
			out = append(out, plan.Frame{Name: fr.Name, Pos: src.Pos(fr.Pos)})
		}
	}
	return out
}

// keep charges for a declaration that the session keeps. If this exceeds the limit,
// evaluation ends at its next step.
func (s *Session) keep() { _ = s.Meter.Charge(declarationSize) }
