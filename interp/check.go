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

// ReadSource reads a Pipelinefile or a module for tools that look at sources. Of one that is larger
// than is possible (L4) it returns the beginning, so that [Check] says what is wrong with it. What is
// not a regular file is an error.
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

// Check parses the text of one module and resolves its names, within the bounds
// of L4 and without running anything: no file is read. It returns what Eval
// would report of that, and the tree, whose names have their bindings then; nil
// if the text cannot be parsed. Of the options it uses Builtins and Limits.
//
// It is for tools that look at sources. The tree must not be changed.
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
