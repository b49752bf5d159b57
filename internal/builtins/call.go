package builtins

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Call is a call of one of our builtins, which record what it declares in the session.
type Call struct {
	*builtins.Call
	Session *Session
}

// define returns a builtin of ours.
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

// wrong records p, if any, as being wrong with the argument of param.
func (c *Call) wrong(param string, p *explain.Error) {
	if p != nil {
		_ = c.Reject(param, p)
	}
}

// Enter counts a call: what it keeps, and a walk through its arguments.
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

// Leave counts nothing: what our functions return was counted when it was made.
func (s *Session) Leave(starlark.Value) error { return nil }

// A hosted session is the one of functions of a host program, which count nothing themselves.
type hosted struct{ *Session }

// Leave counts what a function has returned.
func (h hosted) Leave(v starlark.Value) error { return h.Meter.Text(v) }

// Caller returns the position of the innermost call that stands in the workspace.
func (s *Session) Caller(th *starlark.Thread) plan.Pos {
	_, pos := s.caller(th)
	return pos
}

// CallExpr returns the innermost call as it is written, and its file.
func (s *Session) CallExpr(th *starlark.Thread) (call *syntax.CallExpr, file string) {
	p, src := s.frame(th, func(*Source) bool { return true })
	if src == nil {
		return nil, ""
	}
	return src.calls[key(p)], src.Name
}
