package doc

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/stdlib"
)

// Library returns the entries of the standard library: each module, and its functions.
func Library(ctx context.Context) ([]Entry, error) {
	names, err := fs.Glob(stdlib.FS, "*.star")
	if err != nil {
		return nil, fmt.Errorf("@std: %w", err)
	}
	var out []Entry
	for _, name := range names {
		text, err := fs.ReadFile(stdlib.FS, name)
		if err != nil {
			return nil, fmt.Errorf("@std//%s: %w", name, err)
		}
		entries, err := OfModule(ctx, "@std//"+name, text)
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
	}
	return out, nil
}

// OfModule returns the entries of a module: one for the module, and one for
// each function that other files can load, named "module:function". It runs
// nothing. If the source cannot be parsed, the error is an [interp.Error].
func OfModule(ctx context.Context, name string, text []byte) ([]Entry, error) {
	tree, wrong := interp.Check(ctx, name, text, interp.Options{})
	if tree == nil {
		return nil, &interp.Error{Diagnostics: wrong}
	}
	about := builtins.Docstring(tree.Stmts)
	module := Entry{Name: name, Kind: Module, Summary: summary(about), Text: about}
	out := []Entry{module}
	lines := strings.Split(string(text), "\n")
	for _, stmt := range tree.Stmts {
		def, ok := stmt.(*syntax.DefStmt)
		if !ok || strings.HasPrefix(def.Name.Name, "_") {
			continue
		}
		help := builtins.Docstring(def.Body)
		out = append(out, Entry{
			Name: name + ":" + def.Name.Name, Kind: Function, Summary: summary(help), Text: help,
			Signature: fmt.Sprintf("load(%q, %q)\n%s", name, def.Name.Name, signature(lines, def)),
		})
	}
	return out, nil
}

// Loaded returns the origin of a name that a file loads: the module as written
// in the load, and the name in that module; "", "" if the file does not load
// the name.
func Loaded(ctx context.Context, file string, text []byte, name string) (module, from string) {
	tree, _ := interp.Check(ctx, file, text, interp.Options{})
	if tree == nil {
		return "", ""
	}
	for _, stmt := range tree.Stmts {
		load, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		for i, to := range load.To {
			if to.Name == name {
				module, _ = load.Module.Value.(string)
				return module, load.From[i].Name
			}
		}
	}
	return "", ""
}

// signature returns the head of a def as written, with its line breaks and comments.
func signature(lines []string, def *syntax.DefStmt) string {
	from, to := def.Name.NamePos, def.Rparen
	var head []string
	for n := from.Line; n <= to.Line; n++ {
		line := []rune(lines[n-1])
		if n == to.Line {
			line = line[:to.Col]
		}
		indent := "    "
		if n == from.Line {
			line, indent = line[from.Col-1:], ""
		}
		head = append(head, indent+strings.TrimSpace(string(line)))
	}
	return strings.Join(head, "\n")
}
