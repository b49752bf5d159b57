// Package builtins declares functions of a host program for its Pipelinefiles.
//
// A function is one struct and one Go function: the struct that receives the
// arguments is the signature, from which the argument check, its messages and
// the language server's help are made (G1, L8). Give the functions to
// interp.Options.Builtins; the standard ones, described in reference.md next to
// this file, are always there.
package builtins

import (
	"go.starlark.net/starlark"

	impl "github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// A Func is a builtin function, made by [New]. It belongs to no evaluation: one
// can be given to any number of them at once.
type Func = impl.Func

// New returns a builtin with that name and result type, such as "dict[str, str]"
// or "None". Its doc is Markdown, of which the first sentence is the summary.
// The struct type A is the signature. Each exported field of A is a parameter,
// in this order, described by its tags:
//
//	Name string `arg:"name" help:"unique in the pipeline"`
//	Port int    `arg:"port,kw" default:"8080" help:"where it listens"`
//
// "kw" makes it and all that follow keyword-only, "*name" takes all further
// positional arguments, default is Starlark text, type replaces the type's name
// in texts, and choices lists for editors the texts that are possible, as "a|b".
// A parameter without default must be given.
//
// Fields can be string, int, bool, float64, pointers to these (None is nil),
// []string, map[string]string, starlark.Value, any type that implements
// starlark.Value, slices of such types, or types whose pointer implements
// starlark.Unpacker. An embedded struct adds its parameters in its place.
//
// A call that does not fit is an error that names the argument, points at it,
// and suggests names; fn is not called then. fn returns an error of [Call.Errorf]
// or any other, which is about the call. A mistake in A itself is an error of
// every call.
//
// Evaluations at once call fn at once, each on a goroutine of its own. It does not
// keep or change lists and dicts among its arguments, which are the caller's. What it
// returns counts as made by the evaluation (L4); what it takes besides, such as
// time, is its own to bound, by a context that it was made with.
func New[A any](name, result, doc string, fn func(*Call, *A) (starlark.Value, error)) *Func {
	return impl.New(name, result, doc, func(c *impl.Call, a *A) (starlark.Value, error) {
		v, err := fn(&Call{Thread: c.Thread, call: c}, a)
		if err == nil {
			err = c.Session.Meter.Text(v)
		}
		return v, err
	})
}

// A Call is one call of a builtin. It is of no use after the call.
type Call struct {
	Thread *starlark.Thread // to call a function that is an argument: starlark.Call
	call   *impl.Call
}

// Pos returns the position of the call. Where a library's module makes it, this
// is where the library was called from the workspace, because that is what the
// author of the Pipelinefile wrote.
func (c *Call) Pos() plan.Pos { return c.call.Pos() }

// Given reports whether the call gives the parameter, so that it does not have
// its default.
func (c *Call) Given(param string) bool { return c.call.Given(param) }

// Errorf records an error about the argument of that parameter, with its
// position, and returns the error to return. With an empty param the error is
// about the call. After a first error about a parameter further ones are dropped.
func (c *Call) Errorf(param, format string, args ...any) error {
	return c.call.Errorf(param, format, args...)
}

// ErrorHint is Errorf for an error that says what to do about it, such as
// `write "3"` (L3).
func (c *Call) ErrorHint(param, hint, format string, args ...any) error {
	return c.call.ErrorHint(param, hint, format, args...)
}

// ErrorSuggest is Errorf for an argument that was probably meant to be suggest, such
// as "payments", the [Nearest] of what is possible. The hint asks for it, and editors
// offer to write it.
func (c *Call) ErrorSuggest(param, suggest, format string, args ...any) error {
	return c.call.ErrorSuggest(param, suggest, format, args...)
}

// Nearest returns the candidate that name is most likely a misspelling of, or
// "". Of equally near ones the first wins, so that candidates are given in an
// order that does not change.
func Nearest(name string, candidates []string) string { return impl.Nearest(name, candidates) }
