// Package interp evaluates a Pipelinefile into a plan.
package interp

import (
	"context"
	"errors"
	"io/fs"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// Options adjust an evaluation. The zero value evaluates for the environment
// "default" with the default limits.
type Options struct {
	Environment plan.EnvironmentRef
	Params      map[string]string // values of param(), by name
	Limits      Limits
	Root        string                             // the workspace; default: see [Workspace]
	Builtins    []*builtins.Func                   // added to the standard ones
	Modules     map[string]fs.FS                   // load("@name//path.star", …)
	Print       func(pos plan.Pos, message string) // nil: discarded
}

// Limits bound an evaluation (L4). A zero field means its default.
type Limits struct {
	Steps uint64 // default 100 million
	Size  int    // of any one string or list, in bytes; default 64 MiB
}

// Workspace returns the folder that an evaluation of file may read: the
// enclosing git root, or the file's own folder (L2).
func Workspace(file string) (string, error) { return "", errors.ErrUnsupported }

// Eval evaluates the file and returns its plan. The error, if it comes from
// the Pipelinefile, is an *Error.
func Eval(ctx context.Context, file string, opts Options) (*plan.Plan, error) {
	return nil, errors.ErrUnsupported
}

// An Error is everything that is wrong with a Pipelinefile, in source order.
type Error struct {
	Diagnostics []plan.Diagnostic // at least one
	Inputs      []plan.Input      // what was read before evaluation failed, to be watched all the same
}

// Error returns all diagnostics as text: position, message, source line with a
// caret, hint, call stack.
func (e *Error) Error() string { return e.Diagnostics[0].Message }
