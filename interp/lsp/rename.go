package lsp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// refuse returns the error for a rename that would break the program.
func refuse(format string, args ...any) error {
	return &rpcError{codeRequestFailed, fmt.Sprintf(format, args...)}
}

func (s *server) prepareRename(ctx context.Context, p positionParams) (any, error) {
	m, off, err := s.here(ctx, p)
	if err != nil {
		return nil, err
	}
	u, err := s.renamed(m, off)
	if err != nil {
		return nil, err
	}
	return map[string]any{"range": m.text.span(u.start, u.end()), "placeholder": u.id.Name}, nil
}

// renamed returns the name at off, if it can be renamed.
func (s *server) renamed(m *module, off int) (use, error) {
	if q, ok := m.quoteAt(off); ok && (q.call != nil || q.load != nil && q.lit == q.load.Module) {
		return use{}, refuse("cannot rename a string: releases and namespaces are named after it")
	}
	u, ok := m.useAt(off)
	switch {
	case !ok:
		return use{}, refuse("no name here")
	case u.dot != nil:
		return use{}, refuse("cannot rename the attribute %s: its owner is known only when the file runs", u.id.Name)
	case isLibrary(m.file):
		return use{}, refuse("%s is outside this workspace", m.file)
	case !m.whole:
		return use{}, refuse("%s does not parse: fix that first", s.shown(m))
	case u.decl == nil && u.call == nil && u.load == nil:
		if slices.Contains(s.table.builtinNames(m), u.id.Name) {
			return use{}, refuse("%s is a builtin", u.id.Name)
		}
		return use{}, refuse("%s is not declared", u.id.Name)
	}
	return u, nil
}

func (s *server) rename(ctx context.Context, p renameParams) (any, error) {
	m, off, err := s.here(ctx, p.positionParams)
	if err != nil {
		return nil, err
	}
	u, err := s.renamed(m, off)
	if err != nil {
		return nil, err
	}
	r := &renaming{s: s, ctx: ctx, near: m, old: u.id.Name, name: strings.TrimSpace(p.NewName), edits: map[string][]textEdit{}}
	if r.name == r.old {
		return workspaceEdit{Changes: r.edits}, nil
	}
	if err := r.possible(); err != nil {
		return nil, err
	}
	if err := r.collect(m, u); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, refuse("the workspace is too large to be searched in %s", requestTime)
	}
	return workspaceEdit{Changes: r.edits}, nil
}

// A renaming is the state of one rename request.
type renaming struct {
	s         *server
	ctx       context.Context //nolint:containedctx // lives as long as one request
	near      *module
	old, name string
	edits     map[string][]textEdit
}

// possible reports whether the new name is valid.
func (r *renaming) possible() error {
	switch {
	case keywords[r.name]:
		return refuse("%q is a keyword", r.name)
	case !isName(r.name):
		return refuse("invalid name %q: use letters, digits and _, and do not start with a digit", r.name)
	case slices.Contains(r.s.table.builtinNames(r.near), r.name):
		return refuse("the new name would shadow the builtin %s", r.name)
	}
	return nil
}

func (r *renaming) collect(m *module, u use) error {
	// A name imported by a load belongs to this file alone.
	if d := u.decl; d != nil && d.load != nil && d.from != d.id {
		return r.here(m, d)
	}
	from, d := r.s.origin(r.ctx, m, u)
	switch {
	case d == nil && u.call != nil:
		return refuse("the parameter %s belongs to a builtin or an unknown function", r.old)
	case d == nil:
		return refuse("%s does not exist in the module", r.old)
	case isLibrary(from.file) && u.decl == nil:
		return refuse("%s belongs to %s", r.old, from.file)
	case d.load != nil || isLibrary(from.file): // of a library, or of a module that was not found
		return r.here(m, u.decl)
	case d.param && d.in == nil:
		return r.here(from, d) // of a lambda
	case d.param:
		if err := r.onlyCalled(from, d.in); err != nil {
			return err
		}
	}
	return r.everywhere(from, d)
}

// here renames a name in one file. An imported name becomes a renamed import:
// "web" becomes site = "web".
func (r *renaming) here(m *module, d *decl) error {
	if err := r.free(m); err != nil {
		return err
	}
	for _, u := range m.uses {
		if u.decl != d {
			continue
		}
		if u.load != nil && d.from == d.id {
			quote := u.start - 1
			if err := r.edit(place{m, quote, quote}, r.name+" = "); err != nil {
				return err
			}
			continue
		}
		if err := r.edit(place{m, u.start, u.end()}, r.name); err != nil {
			return err
		}
	}
	return nil
}

// everywhere renames a declaration in all files.
func (r *renaming) everywhere(from *module, d *decl) error {
	for _, file := range r.s.withUses(r.ctx, r.near, from) {
		m := r.s.workspace.module(r.ctx, file)
		if m == nil || isLibrary(file) {
			continue
		}
		if !m.whole && strings.Contains(m.text.data, r.old) {
			return refuse("%s does not parse and may use %s: fix that first", r.s.shown(m), r.old)
		}
		named := false
		for _, u := range m.uses {
			if u.id.Name != r.old || u.decl != nil && u.decl.load == nil && u.decl != d {
				continue
			}
			if om, od := r.s.origin(r.ctx, m, u); od != d || om != from {
				continue
			}
			if u.decl != nil && u.decl.load != nil && u.decl.from != u.decl.id && u.load == nil {
				continue // another name of it, spelt the same
			}
			if u.call != nil {
				for _, arg := range u.call.Args {
					if kw, ok := arg.(*syntax.BinaryExpr); ok && isKeyword(kw, r.name) {
						return refuse("%s: the call already passes %s", r.at(m, u.start), r.name)
					}
				}
			} else {
				named = true
			}
			if m != from && strings.HasPrefix(r.name, "_") && !d.param {
				return refuse("%s loads %s, but a name that starts with _ is private to its module", r.s.shown(m), r.old)
			}
			if err := r.edit(place{m, u.start, u.end()}, r.name); err != nil {
				return err
			}
		}
		if named {
			if err := r.freeUnless(m, from, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// freeUnless calls free, unless the name is introduced only in another module.
func (r *renaming) freeUnless(m, from *module, d *decl) error {
	if m != from {
		local := slices.ContainsFunc(m.uses, func(u use) bool {
			return u.id.Name == r.old && u.decl != nil && u.decl.load != nil && u.decl.from == u.decl.id
		})
		if !local {
			return nil
		}
	}
	return r.free(m)
}

// free returns an error if the new name is already used in a file, even in
// another function: shadowing is hard to see.
func (r *renaming) free(m *module) error {
	for _, u := range m.uses {
		if u.id.Name == r.name && u.dot == nil && u.call == nil && (u.load == nil || u.decl != nil) {
			return refuse("%s: the name %s is already used", r.at(m, u.start), r.name)
		}
	}
	return nil
}

// onlyCalled reports whether every use of a function is a call with visible
// arguments. Otherwise the parameter may be passed by name in a place that
// cannot be found.
func (r *renaming) onlyCalled(from *module, def *syntax.DefStmt) error {
	d := from.decls[def.Name]
	if d == nil {
		return nil
	}
	for _, file := range r.s.withUses(r.ctx, r.near, from) {
		m := r.s.workspace.module(r.ctx, file)
		if m == nil {
			continue
		}
		for _, u := range m.uses {
			if om, od := r.s.origin(r.ctx, m, u); od != d || om != from || u.id == def.Name || u.load != nil || m.decls[u.id] != nil {
				continue
			}
			if u.applied == nil {
				return refuse("%s: %s is used as a value, so its parameters cannot be renamed", r.at(m, u.start), def.Name.Name)
			}
			for _, arg := range u.applied.Args {
				if x, ok := arg.(*syntax.UnaryExpr); ok && x.Op == syntax.STARSTAR {
					return refuse("%s: %s is called with **, so its parameters cannot be renamed", r.at(m, u.start), def.Name.Name)
				}
			}
		}
	}
	return nil
}

func isKeyword(x *syntax.BinaryExpr, name string) bool {
	id, ok := x.X.(*syntax.Ident)
	return ok && x.Op == syntax.EQ && id.Name == name
}

func (r *renaming) at(m *module, off int) string {
	p := m.text.position(off)
	return fmt.Sprintf("%s:%d:%d", r.s.shown(m), p.Line+1, p.Character+1)
}

// edit adds an edit. It replaces the old name, or inserts text.
func (r *renaming) edit(p place, text string) error {
	if old := p.m.text.data[p.start:p.end]; old != "" && old != r.old || old == "" && !strings.ContainsAny(p.m.text.data[p.start:min(p.start+1, len(p.m.text.data))], `"'`) {
		return refuse("%s: cannot find %s in the source", r.at(p.m, p.start), r.old)
	}
	l, ok := r.s.location(p)
	if !ok {
		return refuse("%s cannot be changed", p.m.file)
	}
	r.edits[l.URI] = append(r.edits[l.URI], textEdit{l.Range, text})
	return nil
}
