package builtins

import (
	"errors"
	"iter"
	"math/bits"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// ErrReported is the error of a builtin that has already recorded the mistake, for
// example with [Call.Errorf].
var ErrReported = errors.New("reported")

// A Session is the evaluation that a function belongs to, see [Func.Bind]. The
// interpreter provides one for the functions of interp.Options.Builtins.
type Session interface {
	// Enter counts a call before its arguments are checked. An error ends the evaluation.
	Enter(f *Func, args starlark.Tuple, kwargs []starlark.Tuple) error
	// Leave counts the result of a call. An error ends the evaluation.
	Leave(v starlark.Value) error
	// Report records an error or a warning, unless a parameter without a value may be its
	// cause.
	Report(plan.Diagnostic)
	// ReportSure is Report for diagnostics that no parameter's value can be the cause of.
	ReportSure(plan.Diagnostic)
	// Caller returns the position of the innermost call in the workspace.
	Caller(*starlark.Thread) plan.Pos
	// CallExpr returns the syntax of the innermost call and its file, or nil if it is not
	// known.
	CallExpr(*starlark.Thread) (call *syntax.CallExpr, file string)
	// Stack returns the calls that lead to the function, outermost first.
	Stack(*starlark.Thread) []plan.Frame
}

// A Call is one call of a builtin. It must not be used after the call has returned.
type Call struct {
	Thread *starlark.Thread // for calling a function that is an argument: starlark.Call
	Func   *Func

	session Session
	kwargs  []starlark.Tuple
	given   uint64 // bit i: parameter i was passed
	failed  uint64 // bit i: parameter i has an error that was reported
}

// Session returns the evaluation that the called function belongs to.
func (c *Call) Session() Session { return c.session }

// Pos returns the position of the call. If a library's module makes the call, Pos returns
// where the workspace called the library, because that is the code that the author of the
// Pipelinefile wrote.
func (c *Call) Pos() plan.Pos { return c.session.Caller(c.Thread) }

// Given reports whether the call passes the parameter, so that the default does not
// apply.
func (c *Call) Given(param string) bool {
	i, ok := c.Func.byName[param]
	return ok && c.given&(1<<i) != 0
}

// Passed returns the parameters that the call passes, in the order of the signature.
func (c *Call) Passed() iter.Seq[*Param] {
	return func(yield func(*Param) bool) {
		for left := c.given; left != 0; left &= left - 1 {
			if !yield(&c.Func.Params[bits.TrailingZeros64(left)]) {
				return
			}
		}
	}
}

// Keyword returns the keyword argument of that name, or nil.
func (c *Call) Keyword(name string) starlark.Value {
	for _, kv := range c.kwargs {
		if kv[0] == starlark.String(name) {
			return kv[1]
		}
	}
	return nil
}

// Valid reports whether no error was found so far in the argument of that parameter.
func (c *Call) Valid(param string) bool { return c.failed&(1<<c.Func.byName[param]) == 0 }

// Invalidate marks the argument of that parameter as wrong. Further errors about it are
// dropped.
func (c *Call) Invalidate(param string) { c.failed |= 1 << c.Func.byName[param] }

// Errorf records an error about the argument of that parameter, with its position, and
// returns the error that the builtin must return. If param is empty, the error is about
// the call. After the first error about a parameter, further ones are dropped.
func (c *Call) Errorf(param, format string, args ...any) error {
	return c.Reject(param, explain.Errorf(format, args...))
}

// ErrorHint is Errorf for an error with a hint that says how to fix it, such as
// `write "3"` (L3).
func (c *Call) ErrorHint(param, hint, format string, args ...any) error {
	return c.Reject(param, explain.Errorf(format, args...).WithHint("%s", hint))
}

// ErrorSuggest is Errorf for an argument that was probably meant to be suggest, such as
// "payments", the [Nearest] of the possible values. The hint asks whether it was meant,
// and editors offer it as a fix.
func (c *Call) ErrorSuggest(param, suggest, format string, args ...any) error {
	p := explain.Errorf(format, args...)
	p.Suggest = suggest
	return c.Reject(param, p)
}

// Reject is Errorf for an existing error.
func (c *Call) Reject(param string, err error) error {
	p := problem(err)
	i, ok := c.Func.byName[param]
	if !ok {
		return c.add(c.Here(), p)
	}
	return c.report(i, p)
}

// problem returns err as an *explain.Error. Most errors are one already, with a hint and
// a place in the argument.
func problem(err error) *explain.Error {
	var p *explain.Error
	if errors.As(err, &p) {
		return p
	}
	return &explain.Error{Msg: err.Error()}
}

// report records p about parameter i.
func (c *Call) report(i int, p *explain.Error) error {
	if c.failed&(1<<i) != 0 {
		return ErrReported
	}
	c.failed |= 1 << i
	return c.add(c.paramPos(i, p.At), p.About(c.Func.Params[i].Name))
}

// add records p with the name of the builtin.
func (c *Call) add(pos plan.Pos, p *explain.Error) error {
	c.session.Report(c.Diagnostic(pos, p))
	return ErrReported
}

// addSure is add for mistakes that do not depend on the value of any parameter.
func (c *Call) addSure(pos plan.Pos, p *explain.Error) error {
	c.session.ReportSure(c.Diagnostic(pos, p))
	return ErrReported
}

// Diagnostic returns err as an error of the call, at the position pos.
func (c *Call) Diagnostic(pos plan.Pos, err error) plan.Diagnostic {
	p := problem(err)
	return plan.Diagnostic{
		Severity: plan.SeverityError, Pos: pos, Message: c.Func.Name + ": " + p.Msg, Hint: p.Hint, Suggest: p.Suggest,
		Stack: c.session.Stack(c.Thread),
	}
}

// Here returns the position of the call, even if it is in a library.
func (c *Call) Here() plan.Pos {
	call, file := c.session.CallExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	return position(file, syntax.Start(call))
}

// ArgPos returns the position of the argument of that parameter, or of its element at, if
// it is written in the call, and otherwise the position of the call. An element is an
// index of a list, a key of a dict, or a path of these as []any; nil means the argument
// itself.
func (c *Call) ArgPos(param string, at any) plan.Pos { return c.paramPos(c.Func.byName[param], at) }

// paramPos is ArgPos for parameter i.
func (c *Call) paramPos(i int, at any) plan.Pos {
	name := c.Func.Params[i].Name
	call, file := c.session.CallExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	n := 0
	for _, arg := range call.Args {
		if id, value, ok := keyword(arg); ok {
			if id.Name == name {
				return position(file, elemStart(value, at))
			}
			continue
		}
		if u, ok := arg.(*syntax.UnaryExpr); ok && (u.Op == syntax.STAR || u.Op == syntax.STARSTAR) {
			break
		}
		if i == c.Func.rest {
			if k, ok := at.(int); ok && n == i+k {
				return position(file, syntax.Start(arg))
			}
		} else if n == i {
			return position(file, elemStart(arg, at))
		}
		n++
	}
	return position(file, syntax.Start(call))
}

// positionalPos is paramPos for positional argument n.
func (c *Call) positionalPos(n int, at any) plan.Pos {
	call, file := c.session.CallExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	if n < len(call.Args) {
		if _, _, kw := keyword(call.Args[n]); !kw {
			return position(file, elemStart(call.Args[n], at))
		}
	}
	return position(file, syntax.Start(call))
}

// namePos returns the position of the keyword name in the call.
func (c *Call) namePos(name string) plan.Pos {
	call, file := c.session.CallExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	for _, arg := range call.Args {
		if id, _, ok := keyword(arg); ok && id.Name == name {
			return position(file, id.NamePos)
		}
	}
	return position(file, syntax.Start(call))
}

func position(file string, p syntax.Position) plan.Pos {
	return plan.Pos{File: file, Line: int(p.Line), Col: int(p.Col)}
}

// keyword splits an argument of the form name = value.
func keyword(arg syntax.Expr) (*syntax.Ident, syntax.Expr, bool) {
	if b, ok := arg.(*syntax.BinaryExpr); ok && b.Op == syntax.EQ {
		if id, ok := b.X.(*syntax.Ident); ok {
			return id, b.Y, true
		}
	}
	return nil, nil, false
}

// elemStart returns the start of e, or of the element at of the literal e. If at is a
// path, it returns the start of the last element on the path that is written there.
func elemStart(e syntax.Expr, at any) syntax.Position {
	path, ok := at.([]any)
	if !ok {
		path = []any{at}
	}
	for i, at := range path {
		e = bounded.Unguarded(e)
		if i == len(path)-1 {
			if key, ok := at.(explain.Key); ok {
				if entry := entryOf(e, string(key)); entry != nil {
					return syntax.Start(entry.Key)
				}
			}
		}
		in := elemOf(e, at)
		if in == nil {
			break
		}
		e = in
	}
	return syntax.Start(bounded.Unguarded(e))
}

// elemOf returns the element at of the literal e, or nil.
func elemOf(e syntax.Expr, at any) syntax.Expr {
	switch at := at.(type) {
	case int:
		var list []syntax.Expr
		switch e := e.(type) {
		case *syntax.ListExpr:
			list = e.List
		case *syntax.TupleExpr:
			list = e.List
		}
		if at < len(list) {
			return list[at]
		}
	case string:
		if entry := entryOf(e, at); entry != nil {
			return entry.Value
		}
	}
	return nil
}

// entryOf returns the entry of the dict literal e with that key, or nil.
func entryOf(e syntax.Expr, key string) *syntax.DictEntry {
	d, ok := e.(*syntax.DictExpr)
	if !ok {
		return nil
	}
	for _, entry := range d.List {
		if entry, ok := entry.(*syntax.DictEntry); ok {
			if k, ok := entry.Key.(*syntax.Literal); ok && k.Value == key {
				return entry
			}
		}
	}
	return nil
}
