package lint

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// predeclared returns the names of the builtins that are available in a file.
func predeclared(file string) map[string]bool {
	names := map[string]bool{}
	for name := range starlark.Universe {
		names[name] = true
	}
	for _, f := range builtins.Available(file) {
		name, _, _ := strings.Cut(f.Name, ".")
		names[name] = true
	}
	for _, n := range builtins.Names() {
		names[n.Name] = true
	}
	return names
}

// names checks the names that a file binds and uses.
func (l *linter) names(tree *syntax.File) {
	builtin := predeclared(l.name)
	bound := map[*syntax.Ident]bool{} // identifiers that bind and do not use
	params := map[*syntax.Ident]bool{}
	var order []*syntax.Ident
	loads := map[*syntax.Ident]bool{}
	assigned := map[*syntax.Ident]*syntax.AssignStmt{} // if it is the only target of the statement
	bind := func(id *syntax.Ident) {
		bound[id] = true
		order = append(order, id)
	}
	param := func(p syntax.Expr) {
		if star, ok := p.(*syntax.UnaryExpr); ok {
			p = star.X
		}
		if def, ok := p.(*syntax.BinaryExpr); ok {
			p = def.X
		}
		if id, ok := p.(*syntax.Ident); ok {
			params[id] = true
			bind(id)
		}
	}
	syntax.Walk(tree, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.LoadStmt:
			for i, id := range n.From {
				bound[n.To[i]] = true
				bound[id] = true
				order = append(order, n.To[i])
				loads[n.To[i]] = true
			}
		case *syntax.AssignStmt:
			if n.Op == syntax.EQ {
				targets(n.LHS, bind)
				if id, ok := n.LHS.(*syntax.Ident); ok {
					assigned[id] = n
				}
			}
		case *syntax.ForStmt:
			targets(n.Vars, bind)
		case *syntax.ForClause:
			targets(n.Vars, bind)
		case *syntax.DefStmt:
			bind(n.Name)
			for _, p := range n.Params {
				param(p)
			}
		case *syntax.LambdaExpr:
			for _, p := range n.Params {
				param(p)
			}
		}
		return true
	})
	used := uses(tree, bound)
	for _, id := range order {
		b, _ := id.Binding.(*resolve.Binding)
		// Loaded names and parameters are chosen by others.
		if b != nil && b.First == id && builtin[id.Name] && !params[id] && !loads[id] {
			l.add("shadow", id.NamePos, fmt.Sprintf("%s shadows the builtin of that name", id.Name), "choose another name")
		}
		if b == nil || b.First != id || used[b.First] || strings.HasPrefix(id.Name, "_") || loads[id] || params[id] {
			continue
		}
		if b.Scope == resolve.Global && l.kind == Module {
			continue
		}
		found := l.add("unused-name", id.NamePos, fmt.Sprintf("%s is not used", id.Name), "remove it, or start its name with _")
		if found.Fix = l.unassigned(assigned[id]); found.Fix != nil {
			found.Hint = "remove it: pipe lint --fix"
		}
	}
	for _, s := range tree.Stmts {
		if load, ok := s.(*syntax.LoadStmt); ok {
			l.load(load, used)
		}
	}
}

// targets calls f for each name that an assignment to e binds.
func targets(e syntax.Expr, f func(*syntax.Ident)) {
	switch e := e.(type) {
	case *syntax.Ident:
		f(e)
	case *syntax.ParenExpr:
		targets(e.X, f)
	case *syntax.TupleExpr:
		for _, x := range e.List {
			targets(x, f)
		}
	case *syntax.ListExpr:
		for _, x := range e.List {
			targets(x, f)
		}
	}
}

// uses returns, by the first identifier of each binding, whether it is used.
func uses(tree *syntax.File, bound map[*syntax.Ident]bool) map[*syntax.Ident]bool {
	used := map[*syntax.Ident]bool{}
	syntax.Walk(tree, func(n syntax.Node) bool {
		if id, ok := n.(*syntax.Ident); ok && !bound[id] {
			if b, ok := id.Binding.(*resolve.Binding); ok && b.First != nil {
				used[b.First] = true
			}
		}
		return true
	})
	return used
}

// unassigned returns the edit that removes an assignment; nil if evaluating its
// value may have an effect, or if other code shares its lines. In a block,
// "pass" replaces it, because a block must not be empty.
func (l *linter) unassigned(s *syntax.AssignStmt) *Edit {
	if s == nil || !constant(s.RHS) {
		return nil
	}
	start, end := s.Span()
	if l.text.long(int(start.Line)) || l.text.long(int(end.Line)) {
		return nil
	}
	last := []rune(l.text.line(int(end.Line)))
	before := string([]rune(l.text.line(int(start.Line)))[:start.Col-1])
	if strings.TrimSpace(before) != "" || strings.TrimSpace(string(last[end.Col-1:])) != "" {
		return nil
	}
	for n := start.Line; n <= end.Line; n++ {
		if strings.Contains(l.text.line(int(n)), "#") {
			return nil // a comment would be lost
		}
	}
	if before != "" {
		return &Edit{Start: l.pos(start), End: l.pos(end), New: "pass"}
	}
	return &Edit{Start: l.pos(start), End: plan.Pos{File: l.name, Line: int(end.Line) + 1, Col: 1}}
}

// constant reports whether evaluating e has no effect and cannot fail.
func constant(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.Literal:
		return true
	case *syntax.ParenExpr:
		return constant(e.X)
	case *syntax.ListExpr:
		return !slices.ContainsFunc(e.List, func(x syntax.Expr) bool { return !constant(x) })
	case *syntax.TupleExpr:
		return !slices.ContainsFunc(e.List, func(x syntax.Expr) bool { return !constant(x) })
	}
	return false
}

// load checks a load statement. The fix removes its unused names.
func (l *linter) load(load *syntax.LoadStmt, used map[*syntax.Ident]bool) {
	var keep []string
	unused := 0
	for i, to := range load.To {
		if unusedLoad(to, used) {
			unused++
			continue
		}
		name := fmt.Sprintf("%q", load.From[i].Name)
		if to.Name != load.From[i].Name {
			name = to.Name + " = " + name
		}
		keep = append(keep, name)
	}
	if unused == 0 {
		return
	}
	var fix *Edit
	hint := `loading a module also declares its services: write _ = "name" if that is the purpose, otherwise remove it`
	if len(keep) > 0 {
		start, end := load.Load, load.Rparen
		end.Col++
		hint = "remove it"
		// A comment inside would be lost.
		if !slices.ContainsFunc(l.text.lines[start.Line-1:end.Line], func(s string) bool { return strings.Contains(s, "#") }) {
			fix = &Edit{Start: l.pos(start), End: l.pos(end), New: fmt.Sprintf("load(%s, %s)", load.Module.Raw, strings.Join(keep, ", "))}
			hint = "remove it: pipe lint --fix"
		}
	}
	for _, to := range load.To {
		if !unusedLoad(to, used) {
			continue
		}
		l.add("unused-load", to.NamePos, fmt.Sprintf("%s is loaded and not used", to.Name), hint).Fix = fix
		fix = nil // the first finding has the fix for all
	}
}

func unusedLoad(to *syntax.Ident, used map[*syntax.Ident]bool) bool {
	b, _ := to.Binding.(*resolve.Binding)
	return b != nil && b.First != nil && !used[b.First] && !strings.HasPrefix(to.Name, "_")
}
