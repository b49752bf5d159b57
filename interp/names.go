package interp

import (
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/builtins"
)

// attrs returns the attributes of values of a type, or of a library.
func (e *evaluation) attrs(typ string) []string {
	for _, t := range builtins.Types() {
		if t.Name == typ {
			var names []string
			for _, a := range t.Attrs {
				names = append(names, a.Name)
			}
			return names
		}
	}
	if m, ok := e.env[typ].(*starlarkstruct.Module); ok {
		return m.Members.Keys()
	}
	for _, v := range []starlark.HasAttrs{starlark.String(""), starlark.Bytes(""), new(starlark.List), new(starlark.Dict), new(starlark.Set)} {
		if v.Type() == typ {
			return v.AttrNames()
		}
	}
	return nil
}

// params returns the parameters of a function that a module defines.
func (e *evaluation) params(function string) []string {
	for _, name := range e.session.Sources() {
		if params := e.session.Source(name).Params(function); len(params) > 0 {
			return params
		}
	}
	return nil
}

// exports returns the names that a module exports, if file loads it as module. It reports
// whether the module is loaded.
func (e *evaluation) exports(file, module string) ([]string, bool) {
	from := e.modules[file]
	if from == nil {
		return nil, false
	}
	src, err := e.find(from.src, module)
	if err != nil || e.modules[src.String()] == nil {
		return nil, false
	}
	return slices.DeleteFunc(e.modules[src.String()].globals.Keys(), func(n string) bool { return strings.HasPrefix(n, "_") }), true
}

// names returns the names of the builtins and of Starlark.
func names(env starlark.StringDict) []string {
	var names []string
	for _, n := range append(slices.Sorted(maps.Keys(env)), slices.Sorted(maps.Keys(starlark.Universe))...) {
		if !bounded.IsGuard(n) {
			names = append(names, n)
		}
	}
	return names
}

// globals returns the names that a file defines at the top level, in source order.
func globals(tree *syntax.File) []string {
	var names []string
	seen := map[string]bool{}
	add := func(id *syntax.Ident) {
		if !seen[id.Name] && !bounded.IsGuard(id.Name) {
			names, seen[id.Name] = append(names, id.Name), true
		}
	}
	for _, s := range tree.Stmts {
		switch s := s.(type) {
		case *syntax.DefStmt:
			add(s.Name)
		case *syntax.LoadStmt:
			for _, id := range s.To {
				add(id)
			}
		case *syntax.AssignStmt:
			if id, ok := s.LHS.(*syntax.Ident); ok {
				add(id)
			}
		}
	}
	return names
}

func prefixed(prefix string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + n
	}
	return out
}
