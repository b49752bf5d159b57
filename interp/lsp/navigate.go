package lsp

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/plan"
)

// A place is a range in a file.
type place struct {
	m          *module
	start, end int
}

func (s *server) location(p place) (location, bool) {
	uri := s.workspace.uriOf(p.m.file)
	return location{uri, p.m.text.span(p.start, p.end)}, uri != ""
}

func (m *module) placeOf(id *syntax.Ident) place {
	start := m.text.at(id.NamePos)
	return place{m, start, min(start+len(id.Name), len(m.text.data))}
}

func (s *server) definition(ctx context.Context, p positionParams) (any, error) {
	m, off, err := s.here(ctx, p)
	if err != nil {
		return nil, err
	}
	var found []location
	for _, at := range s.definitions(ctx, m, off) {
		if l, ok := s.location(at); ok {
			found = append(found, l)
		}
	}
	return found, nil
}

// definitions returns the places at which the name or string at off is declared.
func (s *server) definitions(ctx context.Context, m *module, off int) []place {
	if q, ok := m.quoteAt(off); ok {
		if q.load != nil && q.lit == q.load.Module {
			if from := s.workspace.loaded(ctx, m, q.value); from != nil {
				return []place{{from, 0, 0}}
			}
			return nil
		}
		if q.call != nil {
			return s.declared(ctx, m, q)
		}
	}
	u, ok := m.useAt(off)
	if !ok {
		return nil
	}
	if from, d := s.origin(ctx, m, u); d != nil {
		return []place{from.placeOf(d.id)}
	}
	return nil
}

// origin returns the declaration of a name, which is in another module if the
// name is loaded. It is nil for builtins and attributes.
func (s *server) origin(ctx context.Context, m *module, u use) (*module, *decl) {
	f := s.finder(ctx)
	switch {
	case u.call != nil:
		fn := f.expr(m, u.call.Fn, 0).fn
		if fn == nil || fn.def == nil {
			return nil, nil
		}
		for _, x := range fn.def.Params {
			if id, _ := paramOf(x); id != nil && id.Name == u.id.Name && fn.mod.decls[id] != nil {
				if _, variadic := x.(*syntax.UnaryExpr); !variadic {
					return fn.mod, fn.mod.decls[id]
				}
			}
		}
	case u.dot != nil:
	case u.load != nil && u.decl == nil:
		if from := s.workspace.loaded(ctx, m, u.load.Module.Value.(string)); from != nil && from.globals[u.id.Name] != nil {
			return from, from.globals[u.id.Name]
		}
	case u.decl != nil:
		return f.meaning(m, u.decl)
	}
	return nil, nil
}

// declared returns the declaration of the stage or service that a string refers to.
func (s *server) declared(ctx context.Context, m *module, q quoted) []place {
	p, root := s.planOf(m.file)
	if p == nil {
		return nil
	}
	var at []plan.Pos
	switch s.meant(ctx, m, q) {
	case meansStage:
		for _, st := range p.Stages {
			if st.Name == q.value && !st.Pos.IsZero() {
				at = append(at, st.Pos)
			}
		}
	case meansService:
		for _, sv := range p.Services {
			if sv.Name == q.value {
				at = append(at, sv.Pos)
			}
		}
	}
	var out []place
	for _, pos := range at {
		file := pos.File
		if !isLibrary(file) {
			file = filepath.Join(root, filepath.FromSlash(file))
		}
		if from := s.workspace.module(ctx, file); from != nil {
			start := from.text.at(syntax.MakePosition(nil, int32(pos.Line), int32(pos.Col)))
			out = append(out, place{from, start, start + tokenLen(from.text.data[start:])})
		}
	}
	return out
}

func (s *server) references(ctx context.Context, p referenceParams) (any, error) {
	m, off, err := s.here(ctx, p.positionParams)
	if err != nil {
		return nil, err
	}
	found := []location{}
	for _, at := range s.occurrences(ctx, m, off) {
		if !p.Context.IncludeDeclaration && slices.Contains(s.definitions(ctx, m, off), at) {
			continue
		}
		if l, ok := s.location(at); ok {
			found = append(found, l)
		}
	}
	return found, nil
}

// occurrences returns all places that refer to the same thing as the name or string at off.
func (s *server) occurrences(ctx context.Context, m *module, off int) []place {
	if q, ok := m.quoteAt(off); ok && q.call != nil {
		return s.sameText(ctx, m, q)
	}
	u, ok := m.useAt(off)
	if !ok || u.dot != nil {
		return nil
	}
	from, d := s.origin(ctx, m, u)
	if d == nil {
		if u.decl == nil && u.call == nil && u.load == nil {
			return s.builtinUses(ctx, m, u.id.Name)
		}
		return nil
	}
	return s.usesOf(ctx, m, from, d)
}

// usesOf returns all uses of a declaration: in its module, and in those that
// load it or pass its parameter by name.
func (s *server) usesOf(ctx context.Context, near, from *module, d *decl) []place {
	var out []place
	for _, file := range s.withUses(ctx, near, from) {
		o := s.workspace.module(ctx, file)
		if o == nil || ctx.Err() != nil {
			continue
		}
		for _, u := range o.uses {
			switch {
			case u.decl == nil && u.id.Name != d.id.Name, u.decl != nil && u.decl.load == nil && u.decl != d:
				continue // neither the name nor an alias
			}
			if om, od := s.origin(ctx, o, u); od == d && om == from {
				out = append(out, place{o, u.start, u.end()})
			}
		}
	}
	return out
}

// withUses returns the files in which a declaration of a module can be used.
func (s *server) withUses(ctx context.Context, near, from *module) []string {
	files := s.workspace.files(ctx, s.workspace.roots(near.file))
	if !slices.Contains(files, from.file) {
		files = append(files, from.file)
	}
	return files
}

// builtinUses returns the uses of a builtin in the workspace.
func (s *server) builtinUses(ctx context.Context, near *module, name string) []place {
	if !slices.Contains(s.table.builtinNames(near), name) {
		return nil
	}
	var out []place
	for _, file := range s.withUses(ctx, near, near) {
		o := s.workspace.module(ctx, file)
		if o == nil || ctx.Err() != nil {
			continue
		}
		for _, u := range o.uses {
			if u.id.Name == name && u.decl == nil && u.call == nil && u.dot == nil && u.load == nil {
				out = append(out, place{o, u.start, u.end()})
			}
		}
	}
	return out
}

// sameText returns the strings that refer to the same stage or service.
func (s *server) sameText(ctx context.Context, m *module, q quoted) []place {
	what := s.meant(ctx, m, q)
	if what == meansNothing {
		return nil
	}
	var out []place
	for _, file := range s.withUses(ctx, m, m) {
		o := s.workspace.module(ctx, file)
		if o == nil || ctx.Err() != nil {
			continue
		}
		for _, other := range o.quotes {
			if other.call != nil && other.value == q.value && s.meant(ctx, o, other) == what {
				out = append(out, place{o, other.start, other.end})
			}
		}
	}
	return out
}

// maxSymbols limits how many symbols of a file are listed.
const maxSymbols = 5000

// symbols lists what a file declares.
func (s *server) symbols(ctx context.Context, p documentParams) (any, error) {
	m, err := s.open(ctx, p.TextDocument.URI)
	if err != nil {
		return nil, err
	}
	out := []documentSymbol{}
	if m.tree == nil {
		return out, nil
	}
	f := s.finder(ctx)
	for _, stmt := range m.tree.Stmts {
		if len(out) == maxSymbols {
			break
		}
		start, end := m.text.node(stmt)
		whole := m.text.span(start, end)
		switch st := stmt.(type) {
		case *syntax.DefStmt:
			at := m.placeOf(st.Name)
			out = append(out, documentSymbol{Name: st.Name.Name, Detail: ofDef(m, st).label, Kind: symbolFunction,
				Range: whole, SelectionRange: m.text.span(at.start, at.end)})
		case *syntax.AssignStmt:
			if id, ok := st.LHS.(*syntax.Ident); ok {
				at := m.placeOf(id)
				v := f.expr(m, st.RHS, 0)
				sym := documentSymbol{Name: id.Name, Detail: v.typ, Kind: symbolVariable, Range: whole, SelectionRange: m.text.span(at.start, at.end)}
				if c, ok := s.declares(f, m, st.RHS); ok {
					sym.Kind, sym.Detail = c.Kind, c.Detail+" "+c.Name
				}
				out = append(out, sym)
			}
		case *syntax.ExprStmt:
			if c, ok := s.declares(f, m, st.X); ok {
				c.Range = whole
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// declares returns the service or stage that a call declares.
func (s *server) declares(f finder, m *module, x syntax.Expr) (documentSymbol, bool) {
	c, ok := x.(*syntax.CallExpr)
	if !ok || len(c.Args) == 0 {
		return documentSymbol{}, false
	}
	v := f.expr(m, x, 0)
	lit, ok := c.Args[0].(*syntax.Literal)
	if !ok || v.typ != "service" && v.typ != "stage" {
		return documentSymbol{}, false
	}
	name, _ := lit.Value.(string)
	if strings.TrimSpace(name) == "" { // editors reject such a symbol
		return documentSymbol{}, false
	}
	start, end := m.text.node(lit)
	sym := documentSymbol{Name: name, Detail: v.typ, Kind: symbolObject, SelectionRange: m.text.span(start, end)}
	if v.typ == "stage" {
		sym.Kind = symbolEvent
	}
	return sym, true
}
