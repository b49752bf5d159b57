package interp

import (
	"context"
	"fmt"
	"io"
	"os"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/plan"
)

// ReadSource reads a Pipelinefile or a module for tools that check sources. If the file
// is larger than the limit (L4), it returns the beginning, so that [Check] reports the
// error. A file that is not a regular file is an error.
func ReadSource(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // reading a fifo can block
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, bounded.MaxModule+1))
}

// Check parses the source of one module and resolves its names, within the limits of L4
// and without executing anything. It reads no file. It returns the diagnostics that Eval
// would report for these steps, and the tree, in which names are bound, or nil if the
// source cannot be parsed. Of the options it uses only Builtins and Limits.
//
// It is for tools that check sources. The tree must not be modified.
func Check(ctx context.Context, name string, text []byte, opts Options) (*syntax.File, []plan.Diagnostic) {
	e := newEvaluation(ctx, nil, name, opts)
	src := source{name: name}
	e.loading = []*module{{src: src}}
	tree, err := e.parse(src, text)
	if err != nil {
		e.fatal(err)
		return nil, e.session.Errors()
	}
	env := e.predeclared(src)
	e.unresolved(tree, env, resolve.File(tree, env.Has, starlark.Universe.Has))
	return tree, e.session.Errors()
}
