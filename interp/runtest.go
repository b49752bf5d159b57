package interp

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// testPrefix is the prefix of the names of test functions.
const testPrefix = "test_"

// A Golden is a file whose content differs from what a test compared with it.
type Golden struct {
	Path    string   // slash-separated, below the workspace's root, in a directory testdata
	Pos     plan.Pos // of the comparison
	Line    string   // the source line
	Got     string
	Want    string // the content of the file
	Missing bool   // the file does not exist
}

// A Tested is the result of a test.
type Tested struct {
	// Goldens are the files that differ from what the test compared with them.
	Goldens []Golden
	// Inputs are what the test, and everything it evaluated, has read, even if it failed.
	// If one of them changes, the test may have another result. A file that was read
	// several times with different contents is listed with each of them.
	Inputs []plan.Input
}

// A TestFunc is a test: a function in a file *_test.star.
type TestFunc struct {
	Name string
	Pos  plan.Pos
}

// Tests returns the tests in a tree of [Check]: its functions test_*, in source order.
func Tests(file string, tree *syntax.File) []TestFunc {
	var out []TestFunc
	for _, s := range tree.Stmts {
		if def, ok := s.(*syntax.DefStmt); ok && strings.HasPrefix(def.Name.Name, testPrefix) {
			p := def.Name.NamePos
			out = append(out, TestFunc{def.Name.Name, plan.Pos{File: file, Line: int(p.Line), Col: int(p.Col)}})
		}
	}
	return out
}

// Test evaluates a file *_test.star as [Eval] does, and calls its function of that name,
// without arguments. If function is empty it calls nothing, which reports the errors in
// the file itself. Evaluations that the test requests count toward the same limits. If
// the test fails, the error is an *Error. Files that differ from what the test compared
// with them fail it as well; the caller shows or writes them.
func Test(ctx context.Context, file, function string, opts Options) (Tested, error) {
	var out Tested
	err := evaluate(ctx, file, opts, func(e *evaluation) error {
		e.tests(function)
		_, err := e.run()
		for _, g := range e.session.Tests.Goldens {
			out.Goldens = append(out.Goldens, Golden{g.Path, g.Pos, e.session.Source(g.Pos.File).Line(g.Pos.Line), g.Got, g.Want, g.Missing})
		}
		out.Inputs = distinct(append(e.inner, e.session.Files.Inputs()...))
		if wrong, ok := err.(*Error); ok { //nolint:errorlint // run returns it bare
			for i, d := range wrong.Diagnostics {
				wrong.Diagnostics[i] = e.inWorkspace(d)
			}
		}
		return err
	})
	return out, err
}

// distinct sorts inputs and removes duplicates.
func distinct(inputs []plan.Input) []plan.Input {
	slices.SortFunc(inputs, func(a, b plan.Input) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind), slices.Compare(a.Exclude, b.Exclude), cmp.Compare(a.Digest, b.Digest))
	})
	return slices.CompactFunc(inputs, func(a, b plan.Input) bool {
		return a.Path == b.Path && a.Kind == b.Kind && slices.Equal(a.Exclude, b.Exclude) && a.Digest == b.Digest
	})
}

// tests makes e run a test.
func (e *evaluation) tests(function string) {
	e.test = function
	e.session.Tests = &builtins.Tests{Plan: e.planOf}
}

// callTest calls the test function of the module.
func (e *evaluation) callTest(m *module) error {
	if e.test == "" {
		return nil
	}
	fn, ok := m.globals[e.test].(*starlark.Function)
	if !ok {
		return &explain.Error{
			Msg:     fmt.Sprintf("there is no function %q in %s", e.test, m.src),
			Suggest: misspell.Nearest(e.test, slices.Sorted(maps.Keys(m.globals))),
		}
	}
	_, err := starlark.Call(e.thread, fn, nil, nil)
	return err
}

// declares reports whether a test itself declares services or stages, for example to test
// a module. These are then checked like those of a Pipelinefile, except that pipeline()
// is not required.
func (e *evaluation) declares() bool {
	s := e.session
	if len(s.Services)+len(s.Stages)+len(s.Rules)+len(s.Skips) == 0 {
		return false
	}
	if s.Pipeline == nil {
		s.Pipeline = &plan.Pipeline{}
	}
	return true
}

// beginSteps is the fixed cost of an evaluation: creating all names, and searching for
// the nearest one if a name is wrong, takes that long.
const beginSteps = 100_000

// planOf evaluates a Pipelinefile for a test, with the steps that the test has left.
func (e *evaluation) planOf(r builtins.PlanRequest) (*plan.Plan, []plan.Diagnostic, error) {
	if err := e.session.Meter.Charge(beginSteps); err != nil {
		return nil, nil, err
	}
	opts := e.opts
	opts.Environment, opts.Params = r.Environment, r.Params
	opts.Limits.Steps = max(opts.Limits.Steps, e.thread.Steps+1) - e.thread.Steps
	if r.Text != nil {
		opts.Overlay = maps.Clone(opts.Overlay)
		if opts.Overlay == nil {
			opts.Overlay = map[string][]byte{}
		}
		opts.Overlay[r.File] = []byte(*r.Text)
	}
	inner := newEvaluation(e.ctx, e.dir, r.File, opts)
	p, err := inner.run()
	for _, in := range inner.session.Files.Inputs() {
		if r.Text == nil || in.Path != r.File { // that one is the input of the test itself
			e.inner = append(e.inner, in)
		}
	}
	if inner.steps {
		return nil, nil, e.session.Meter.Charge(opts.Limits.Steps)
	}
	if charged := e.session.Meter.Charge(inner.thread.Steps); charged != nil {
		return nil, nil, charged
	}
	if wrong, ok := err.(*Error); ok { //nolint:errorlint // run returns it bare
		return nil, wrong.Diagnostics, nil
	}
	return p, nil, err
}

// inWorkspace moves an error in a library, such as that of an assertion, to the call in
// the workspace that led to it, because that is the code to look at.
func (e *evaluation) inWorkspace(d plan.Diagnostic) plan.Diagnostic {
	if src := e.session.Source(d.Pos.File); src == nil || !src.Library {
		return d
	}
	for i, fr := range slices.Backward(d.Stack) {
		if src := e.session.Source(fr.Pos.File); src != nil && !src.Library {
			if i+1 < len(d.Stack) {
				d.Message = d.Stack[i+1].Name + ": " + d.Message
			}
			d.Pos, d.Line, d.Stack = fr.Pos, src.Line(fr.Pos.Line), d.Stack[:i+1]
			break
		}
	}
	if len(d.Stack) < 2 {
		d.Stack = nil
	}
	return d
}
