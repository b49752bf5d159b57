package builtins

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/plan"
)

// ErrReported is the error of a builtin that has already recorded what is wrong
// in its session, with [Call.Errorf].
var ErrReported = errors.New("reported")

// A Call is one call of a builtin.
type Call struct {
	Thread  *starlark.Thread
	Func    *Func
	Session *Session

	args   int // how many positional arguments there are
	kwargs []starlark.Tuple
	given  uint64 // bit i: parameter i was given
	failed uint64 // bit i: something is wrong with it, and was reported
}

// Pos returns the position of the call. Where a library's module makes it, this
// is where the library was called from the workspace, because that is what the
// author of the Pipelinefile wrote.
func (c *Call) Pos() plan.Pos {
	_, pos := c.Session.caller(c.Thread)
	return pos
}

// Given reports whether the call gives the parameter.
func (c *Call) Given(param string) bool {
	i, ok := c.Func.byName[param]
	return ok && c.given&(1<<i) != 0
}

// Errorf records an error about the argument of that parameter, with its
// position, and returns ErrReported. With an empty param the error is about the
// call. After a first error about a parameter further ones are dropped.
func (c *Call) Errorf(param, format string, args ...any) error {
	return c.reject(param, problemf(format, args...))
}

// ErrorHint is Errorf for an error that says what to write instead.
func (c *Call) ErrorHint(param, hint, format string, args ...any) error {
	return c.reject(param, problemf(format, args...).hinted("%s", hint))
}

// ErrorSuggest is Errorf for an argument that was probably meant to be suggest.
func (c *Call) ErrorSuggest(param, suggest, format string, args ...any) error {
	p := problemf(format, args...)
	p.suggest = suggest
	return c.reject(param, p)
}

// wrong records p, if any, as being wrong with the argument of param.
func (c *Call) wrong(param string, p *problem) {
	if p != nil {
		_ = c.reject(param, p)
	}
}

// reject is wrong for a call that ends with it.
func (c *Call) reject(param string, p *problem) error {
	i, ok := c.Func.byName[param]
	if !ok {
		return c.add(c.here(), p)
	}
	return c.report(i, p)
}

// ok reports whether nothing is wrong with the argument of param so far.
func (c *Call) ok(param string) bool { return c.failed&(1<<c.Func.byName[param]) == 0 }

// report records p about parameter i.
func (c *Call) report(i int, p *problem) error {
	if c.failed&(1<<i) != 0 {
		return ErrReported
	}
	c.failed |= 1 << i
	q := *p
	q.msg = c.Func.Params[i].Name + elem(p.at) + ": " + p.msg
	return c.add(c.paramPos(i, p.at), &q)
}

// A keyAt is the key of an entry of a dict, where a string is its value.
type keyAt string

// elem writes where in an argument something is: [2], ["KEY"], ["a"][0].
func elem(at any) string {
	switch at := at.(type) {
	case int:
		return fmt.Sprintf("[%d]", at)
	case string:
		return fmt.Sprintf("[%q]", clip(at))
	case keyAt:
		return elem(string(at))
	case []any:
		out := ""
		for _, a := range at {
			out += elem(a)
		}
		return out
	}
	return ""
}

// add records p with the name of the builtin.
func (c *Call) add(pos plan.Pos, p *problem) error {
	c.Session.Report(c.diagnostic(pos, p))
	return ErrReported
}

// addSure is add for what is wrong whatever the values are.
func (c *Call) addSure(pos plan.Pos, p *problem) error {
	c.Session.ReportSure(c.diagnostic(pos, p))
	return ErrReported
}

func (c *Call) diagnostic(pos plan.Pos, p *problem) plan.Diagnostic {
	return plan.Diagnostic{
		Severity: plan.SeverityError, Pos: pos, Message: c.Func.Name + ": " + p.msg, Hint: p.hint, Suggest: p.suggest,
		Stack: c.Session.stack(c.Thread),
	}
}

// here returns where the call stands, also in a library.
func (c *Call) here() plan.Pos {
	call, src := c.Session.callExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	return src.pos(syntax.Start(call))
}

// paramPos returns the position of the value of parameter i, or of the element
// at of it, if they are written in the call; otherwise of the call.
func (c *Call) paramPos(i int, at any) plan.Pos {
	name := c.Func.Params[i].Name
	call, src := c.Session.callExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	n := 0
	for _, arg := range call.Args {
		if id, value, ok := keyword(arg); ok {
			if id.Name == name {
				return src.pos(elemStart(value, at))
			}
			continue
		}
		if u, ok := arg.(*syntax.UnaryExpr); ok && (u.Op == syntax.STAR || u.Op == syntax.STARSTAR) {
			break
		}
		if i == c.Func.rest {
			if k, ok := at.(int); ok && n == i+k {
				return src.pos(syntax.Start(arg))
			}
		} else if n == i {
			return src.pos(elemStart(arg, at))
		}
		n++
	}
	return src.pos(syntax.Start(call))
}

// argPos is paramPos for positional argument n.
func (c *Call) argPos(n int, at any) plan.Pos {
	call, src := c.Session.callExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	if n < len(call.Args) {
		if _, _, kw := keyword(call.Args[n]); !kw {
			return src.pos(elemStart(call.Args[n], at))
		}
	}
	return src.pos(syntax.Start(call))
}

// namePos returns the position of the keyword name in the call.
func (c *Call) namePos(name string) plan.Pos {
	call, src := c.Session.callExpr(c.Thread)
	if call == nil {
		return c.Pos()
	}
	for _, arg := range call.Args {
		if id, _, ok := keyword(arg); ok && id.Name == name {
			return src.pos(id.NamePos)
		}
	}
	return src.pos(syntax.Start(call))
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

// elemStart returns where e, or the element at of the literal e, starts. Of a path of
// several elements, it is the last one that is written there.
func elemStart(e syntax.Expr, at any) syntax.Position {
	path, ok := at.([]any)
	if !ok {
		path = []any{at}
	}
	for i, at := range path {
		e = bounded.Unguarded(e)
		if i == len(path)-1 {
			if key, ok := at.(keyAt); ok {
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

// entryOf returns the entry of the literal e with that key, or nil.
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
