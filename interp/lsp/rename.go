package lsp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// refuse is the answer to a request that would break something.
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

// renamed returns the name at off, if it is one that can be renamed.
func (s *server) renamed(m *module, off int) (use, error) {
	if q, ok := m.quoteAt(off); ok && (q.call != nil || q.load != nil && q.lit == q.load.Module) {
		return use{}, refuse("a text is not renamed: releases and namespaces have these names")
	}
	u, ok := m.useAt(off)
	switch {
	case !ok:
		return use{}, refuse("there is no name here")
	case u.dot != nil:
		return use{}, refuse("the attribute %s is not renamed: what has it is known only when the file runs", u.id.Name)
	case isLibrary(m.file):
		return use{}, refuse("%s is not of this workspace", m.file)
	case !m.whole:
		return use{}, refuse("%s does not parse: correct that first", s.shown(m))
	case u.decl == nil && u.call == nil && u.load == nil:
		if slices.Contains(s.table.builtinNames(m), u.id.Name) {
			return use{}, refuse("%s is a builtin", u.id.Name)
		}
		return use{}, refuse("%s is declared nowhere", u.id.Name)
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
		return nil, refuse("the workspace is too large to be looked through in %s", requestTime)
	}
	return workspaceEdit{Changes: r.edits}, nil
}

// A renaming is one rename as it is put together.
type renaming struct {
	s         *server
	ctx       context.Context //nolint:containedctx // lives as long as one request
	near      *module
	old, name string
	edits     map[string][]textEdit
}

// possible reports whether the new name can be one.
func (r *renaming) possible() error {
	switch {
	case keywords[r.name]:
		return refuse("%q is a word of the language", r.name)
	case !isName(r.name):
		return refuse("%q is no name: want letters, digits and _, not a digit first", r.name)
	case slices.Contains(r.s.table.builtinNames(r.near), r.name):
		return refuse("%s is a builtin, which the new name would hide", r.name)
	}
	return nil
}

func (r *renaming) collect(m *module, u use) error {
	// A name that a load gives belongs to this file alone.
	if d := u.decl; d != nil && d.load != nil && d.from != d.id {
		return r.here(m, d)
	}
	from, d := r.s.origin(r.ctx, m, u)
	switch {
	case d == nil && u.call != nil:
		return refuse("the parameter %s is a builtin's, or of a function that is not known", r.old)
	case d == nil:
		return refuse("%s does not exist in the module", r.old)
	case isLibrary(from.file) && u.decl == nil:
		return refuse("%s belongs to %s", r.old, from.file)
	case d.load != nil || isLibrary(from.file): // of pipe, or of a module that is not there
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

// here renames a name in one file. One that a load takes over gets a new name
// there: "web" becomes site = "web".
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
			return refuse("%s does not parse, and may use %s: correct that first", r.s.shown(m), r.old)
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
						return refuse("%s: the call gives %s already", r.at(m, u.start), r.name)
					}
				}
			} else {
				named = true
			}
			if m != from && strings.HasPrefix(r.name, "_") && !d.param {
				return refuse("%s loads %s, and a name that starts with _ belongs to its module", r.s.shown(m), r.old)
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

// freeUnless is free, if the name is given to the file and not only to another module.
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

// free reports whether the new name means nothing in a file yet. It is refused
// also where another function has it: whether one hides the other is hard to see.
func (r *renaming) free(m *module) error {
	for _, u := range m.uses {
		if u.id.Name == r.name && u.dot == nil && u.call == nil && (u.load == nil || u.decl != nil) {
			return refuse("%s: there is a name %s already", r.at(m, u.start), r.name)
		}
	}
	return nil
}

// onlyCalled reports whether all that happens to a function is that it is called
// with arguments that can be seen: otherwise somebody may give a parameter by
// name where that cannot be found.
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
				return refuse("%s: %s is passed on, so its parameters are not renamed", r.at(m, u.start), def.Name.Name)
			}
			for _, arg := range u.applied.Args {
				if x, ok := arg.(*syntax.UnaryExpr); ok && x.Op == syntax.STARSTAR {
					return refuse("%s: %s is called with **, so its parameters are not renamed", r.at(m, u.start), def.Name.Name)
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

// edit adds a change. What it replaces is the old name, or nothing.
func (r *renaming) edit(p place, text string) error {
	if old := p.m.text.data[p.start:p.end]; old != "" && old != r.old || old == "" && !strings.ContainsAny(p.m.text.data[p.start:min(p.start+1, len(p.m.text.data))], `"'`) {
		return refuse("%s: %s is written in a way that is not understood", r.at(p.m, p.start), r.old)
	}
	l, ok := r.s.location(p)
	if !ok {
		return refuse("%s cannot be changed", p.m.file)
	}
	r.edits[l.URI] = append(r.edits[l.URI], textEdit{l.Range, text})
	return nil
}
