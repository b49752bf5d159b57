package interp

import (
	"context"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/plan"
)

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
