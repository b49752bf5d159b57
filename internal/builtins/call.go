package builtins

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Call is a call of one of our builtins, which record declarations in the session.
type Call struct {
	*builtins.Call
	Session *Session
}

// define declares one of our builtins.
func define[A any](name, result, doc string, fn func(*Call, *A) (starlark.Value, error)) *builtins.Func {
	return builtins.New(name, result, doc, func(c *builtins.Call, a *A) (starlark.Value, error) {
		return fn(&Call{c, c.Session().(*Session)}, a)
	})
}

// declare is define for builtins that only declare something.
func declare[A any](name, result, doc string, fn func(*Call, *A) (starlark.Value, error)) *builtins.Func {
	f := define(name, result, doc, fn)
	f.Lenient = true
	return f
}

// wrong records p, if it is not nil, as an error about the argument of param.
func (c *Call) wrong(param string, p *explain.Error) {
	if p != nil {
		_ = c.Reject(param, p)
	}
}

// rejectAt records p as an error about the argument of param, or about the place in it
// that p names, with the other positions that it is about. Unlike wrong, it also records
// further errors about an argument, as several of its elements can be wrong.
func (c *Call) rejectAt(param string, p *explain.Error, related ...plan.Related) {
	c.reject(c.ArgPos(param, p.At), p.About(param), related...)
	c.Invalidate(param)
}

// reject records p as an error of the call, with the other positions that it is about.
func (c *Call) reject(pos plan.Pos, p *explain.Error, related ...plan.Related) {
	d := c.Diagnostic(pos, p)
	d.Related = related
	c.Session.Report(d)
}

// givenHere refers to the argument of param, for an error that it contributes to.
func (c *Call) givenHere(param string) plan.Related {
	return plan.Related{Pos: c.ArgPos(param, nil), Message: param + "= is given here"}
}

// Enter charges for a call: for what it keeps, and for walking its arguments.
func (s *Session) Enter(f *builtins.Func, args starlark.Tuple, kwargs []starlark.Tuple) error {
	keeps := uint64(bounded.BoxSize)
	if f.Lenient {
		keeps = declarationKeeps
	}
	if f.Result == "service" {
		keeps = serviceKeeps
	}
	if err := s.Meter.Charge(keeps); err != nil {
		return err
	}
	for _, v := range args {
		if err := s.Meter.Walk(v); err != nil {
			return err
		}
	}
	for _, kv := range kwargs {
		if err := s.Meter.Walk(kv[1]); err != nil {
			return err
		}
	}
	return nil
}

// Leave charges nothing: the results of our functions were charged when they were made.
func (s *Session) Leave(starlark.Value) error { return nil }

// A hosted is the session of the functions of a host program, which charge for nothing
// themselves.
type hosted struct{ *Session }

// Leave charges for the result of a function.
func (h hosted) Leave(v starlark.Value) error { return h.Meter.Text(v) }

// Caller returns the position of the innermost call in the workspace.
func (s *Session) Caller(th *starlark.Thread) plan.Pos {
	_, pos := s.caller(th)
	return pos
}

// CallExpr returns the syntax of the innermost call, and its file.
func (s *Session) CallExpr(th *starlark.Thread) (call *syntax.CallExpr, file string) {
	p, src := s.frame(th, func(*Source) bool { return true })
	if src == nil {
		return nil, ""
	}
	return src.calls[key(p)], src.Name
}
