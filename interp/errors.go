package interp

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// errReported is the error for a mistake that is already recorded in the session, for
// example by a builtin.
var errReported = builtins.ErrReported

// An Error lists the mistakes in a Pipelinefile, in source order. If there are more than
// fifty, the last diagnostic says how many more there are, at the position of the first
// of these.
type Error struct {
	Diagnostics []plan.Diagnostic // at least one
	Inputs      []plan.Input      // what was read before evaluation failed; watch it as after a success
	// Missing are the parameters that need a value and have none. If there are any, the
	// diagnostics are about them, and evaluation with values may find more.
	Missing []string

	err error
}

// Error returns the diagnostics as a string: position, message, source line with a caret,
// hint and call stack.
func (e *Error) Error() string {
	var b strings.Builder
	for i, d := range e.Diagnostics {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == maxWritten {
			fmt.Fprintf(&b, "%d more mistakes", len(e.Diagnostics)-i)
			break
		}
		b.WriteString(d.String())
	}
	return b.String()
}

// maxWritten is the maximum number of diagnostics that an Error writes. A single
// evaluation has fewer; the limit is for errors that combine several files.
const maxWritten = 100

// Unwrap returns fs.ErrNotExist if there is no Pipelinefile.
func (e *Error) Unwrap() error { return e.err }

// failure returns all reported diagnostics, and extra if it is not nil, as one error.
func (e *evaluation) failure(extra *plan.Diagnostic) *Error {
	if extra != nil {
		e.session.ReportSure(*extra)
	}
	err := &Error{Diagnostics: e.session.Errors(), Inputs: e.session.Files.Inputs()}
	for _, m := range e.session.Missing {
		if e.steps {
			break // a value would not help
		}
		err.Missing = append(err.Missing, m.Name)
	}
	return err
}

// pos converts a position of the interpreter to a plan.Pos.
func (e *evaluation) pos(p syntax.Position) plan.Pos {
	if src := e.session.Source(p.Filename()); src != nil {
		return src.Pos(p)
	}
	return plan.Pos{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}

// report records err, with its hint, at pos.
func (e *evaluation) report(pos plan.Pos, err error) {
	d := plan.Diagnostic{Severity: plan.SeverityError, Pos: pos, Message: err.Error(), Stack: e.loads()}
	if h := explain.Of(err); h != nil {
		d.Hint, d.Suggest = h.Hint, h.Suggest
	}
	e.session.Report(d)
}

// loads returns the calls that lead to the module that is being loaded, or nil for the
// Pipelinefile.
func (e *evaluation) loads() []plan.Frame {
	if len(e.loading) < 2 {
		return nil
	}
	return e.session.Frames(e.thread.CallStack())
}

// fatal records the error that ended evaluation.
func (e *evaluation) fatal(err error) {
	if errors.Is(err, errReported) {
		return
	}
	// Modules run inside the load of another, each wrapping the error of the one
	// below it. The innermost has the message and, because they share a thread, the whole stack.
	var inner *starlark.EvalError
	for next := err; errors.As(next, &inner); next = inner.Unwrap() {
	}
	d := plan.Diagnostic{Severity: plan.SeverityError, Pos: plan.Pos{File: e.name}, Message: err.Error()}
	var stack starlark.CallStack
	var c *crash
	switch {
	case errors.As(err, &c):
		stack = c.stack
	case inner != nil:
		d.Message, stack = inner.Msg, inner.CallStack
	}
	// An error in the arguments of a function is attributed to the caller, although the
	// interpreter detects it after it has entered the function.
	if n := len(stack); n > 1 && strings.HasPrefix(d.Message, "function "+stack[n-1].Name+" ") {
		stack = stack[:n-1]
	}
	frames := e.session.Frames(stack)
	if len(frames) > 0 {
		d.Pos = frames[len(frames)-1].Pos
	}
	if len(frames) > 1 {
		d.Stack = frames
	}
	if h := explain.Of(err); h != nil {
		d.Message, d.Hint, d.Suggest = h.Msg, h.Hint, h.Suggest
	}
	if e.steps || errors.Is(err, bounded.ErrSteps) {
		d.Message = fmt.Sprintf("evaluation takes more than %d steps", e.opts.Limits.Steps)
		d.Hint = "is a loop larger than it was meant to be?"
	}
	if len(d.Message) < bounded.MaxMessage { // longer ones contain a value
		e.explain(&d)
	}
	if e.steps {
		e.session.ReportSure(d) // whatever the values of parameters are
		return
	}
	e.session.Report(d)
}

// explain replaces the hint in a message of the interpreter, and adds one if the message
// alone does not say what to write instead.
func (e *evaluation) explain(d *plan.Diagnostic) {
	known := explain.Message(d.Message, explain.Names{
		Attrs:   e.attrs,
		Params:  e.params,
		Exports: func(module string) ([]string, bool) { return e.exports(d.Pos.File, module) },
	})
	d.Message = known.Msg
	if d.Hint == "" && d.Suggest == "" {
		d.Hint, d.Suggest = known.Hint, known.Suggest
	}
}

// unparsed reports an error of the parser in text.
func (e *evaluation) unparsed(text []byte, err error) error {
	var s syntax.Error
	if !errors.As(err, &s) {
		return err
	}
	d := plan.Diagnostic{Severity: plan.SeverityError, Pos: e.pos(s.Pos), Message: s.Msg, Stack: e.loads()}
	explain.Parse(&d, text, e.session.Source(d.Pos.File).Line)
	e.session.Report(d)
	return errReported
}

// maxUndefined is the maximum number of undefined names that are reported for one file.
const maxUndefined = 1000
