package bounded

import (
	"maps"
	"slices"
	"strconv"

	"go.starlark.net/syntax"
)

// A rewriter inserts guards into a syntax tree.
type rewriter struct {
	repeats int // number of enclosing loops and functions
	used    map[string]bool
}

// Rewrite inserts guards into a file. At the top, it makes each guard that the file uses
// a global of the module, because globals are faster to access than predeclared names.
func Rewrite(tree *syntax.File) {
	r := rewriter{used: map[string]bool{}}
	stmts := r.stmts(tree.Stmts)
	if len(stmts) == 0 {
		return
	}
	pos := syntax.Start(stmts[0])
	tree.Stmts = make([]syntax.Stmt, 0, len(r.used)+len(stmts))
	for _, name := range slices.Sorted(maps.Keys(r.used)) {
		tree.Stmts = append(tree.Stmts, &syntax.AssignStmt{
			LHS: &syntax.Ident{Name: name, NamePos: pos}, OpPos: pos, Op: syntax.EQ, RHS: &syntax.Ident{Name: predeclared(name), NamePos: pos},
		})
	}
	tree.Stmts = append(tree.Stmts, stmts...)
}

// predeclared is the name of a guard in the environment.
func predeclared(name string) string { return "%" + name }

func (r *rewriter) stmts(stmts []syntax.Stmt) []syntax.Stmt {
	if stmts == nil {
		return nil // an if without else
	}
	out := make([]syntax.Stmt, 0, len(stmts))
	for _, s := range stmts {
		r.stmt(s)
		out = append(out, s)
		if def, ok := s.(*syntax.DefStmt); ok && r.repeats > 0 { // the function is made each time
			id := &syntax.Ident{Name: def.Name.Name, NamePos: def.Name.NamePos}
			out = append(out, &syntax.ExprStmt{X: r.guarded(guardMake, def.Name.NamePos, id)})
		}
	}
	return out
}

func (r *rewriter) stmt(s syntax.Stmt) {
	switch s := s.(type) {
	case *syntax.AssignStmt:
		r.assign(s)
	case *syntax.DefStmt:
		r.exprs(s.Params)
		r.repeats++
		s.Body = r.stmts(s.Body)
		s.Body = r.enter(s)
		r.repeats--
	case *syntax.ExprStmt:
		s.X = r.expr(s.X)
	case *syntax.ForStmt:
		r.target(&s.Vars)
		s.X = r.expr(s.X)
		r.repeats++
		s.Body = r.stmts(s.Body)
		r.repeats--
	case *syntax.IfStmt:
		s.Cond = r.expr(s.Cond)
		s.True, s.False = r.stmts(s.True), r.stmts(s.False)
	case *syntax.ReturnStmt:
		s.Result = r.expr(s.Result)
	}
}

// enter returns the body of a function with checks of the depth of calls, and of its
// *args and **kwargs, after the docstring.
func (r *rewriter) enter(def *syntax.DefStmt) []syntax.Stmt {
	var head []syntax.Stmt
	body := def.Body
	if x, ok := body[0].(*syntax.ExprStmt); ok {
		if _, ok := x.X.(*syntax.Literal); ok {
			head, body = body[:1:1], body[1:]
		}
	}
	for _, check := range r.conditions(def.Params, def.Name.NamePos) {
		head = append(head, &syntax.ExprStmt{X: check})
	}
	return append(head, body...)
}

// conditions returns the conditions that a function with these parameters evaluates first. They
// are always true.
func (r *rewriter) conditions(params []syntax.Expr, pos syntax.Position) []syntax.Expr {
	var out []syntax.Expr
	if n := len(params); n > manyParams {
		out = append(out, r.guarded(guardMany, pos, integer(pos, n)))
	}
	for _, v := range received(params, pos) {
		out = append(out, r.guarded(guardCall, pos, v))
	}
	return out
}

// received returns the *args and **kwargs of a function with these parameters, or a
// number if it has none.
func received(params []syntax.Expr, pos syntax.Position) []syntax.Expr {
	var out []syntax.Expr
	for _, p := range params {
		if star, ok := p.(*syntax.UnaryExpr); ok {
			if id, ok := star.X.(*syntax.Ident); ok {
				out = append(out, &syntax.Ident{Name: id.Name, NamePos: id.NamePos})
			}
		}
	}
	if out == nil {
		out = []syntax.Expr{number(pos)}
	}
	return out
}

// manyParams is the number of parameters up to which searching one by name costs nothing
// noticeable.
const manyParams = 16

func number(pos syntax.Position) syntax.Expr { return integer(pos, 0) }

func integer(pos syntax.Position, n int) syntax.Expr {
	return &syntax.Literal{Token: syntax.INT, TokenPos: pos, Raw: strconv.Itoa(n), Value: int64(n)}
}

func (r *rewriter) assign(s *syntax.AssignStmt) {
	s.RHS = r.expr(s.RHS)
	if s.Op == syntax.EQ {
		r.target(&s.LHS)
		return
	}
	op := s.Op - syntax.PLUS_EQ + syntax.PLUS
	switch lhs := unparen(s.LHS).(type) {
	case *syntax.Ident:
		x := &syntax.Ident{Name: lhs.Name, NamePos: lhs.NamePos}
		s.Op = syntax.EQ
		s.RHS = indexed(r.guarded(guardInto(op), s.OpPos, x), s.OpPos, s.RHS)
	case *syntax.IndexExpr:
		lhs.X, lhs.Y = r.guarded(guardAug(op), lhs.Lbrack, r.expr(lhs.X)), r.expr(lhs.Y)
	case *syntax.DotExpr:
		lhs.X = r.guarded(guardAug(op), lhs.Dot, r.expr(lhs.X))
	}
}

// target rewrites the target of an assignment.
func (r *rewriter) target(e *syntax.Expr) {
	switch x := (*e).(type) {
	case *syntax.IndexExpr:
		x.X, x.Y = r.guarded(guardSet, x.Lbrack, r.expr(x.X)), r.expr(x.Y)
	case *syntax.DotExpr:
		x.X = r.expr(x.X)
	case *syntax.ParenExpr:
		r.target(&x.X)
	case *syntax.ListExpr:
		for i := range x.List {
			r.target(&x.List[i])
		}
	case *syntax.TupleExpr:
		for i := range x.List {
			r.target(&x.List[i])
		}
	}
}

func unparen(e syntax.Expr) syntax.Expr {
	for {
		p, ok := e.(*syntax.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}

func (r *rewriter) exprs(list []syntax.Expr) {
	for i := range list {
		list[i] = r.expr(list[i])
	}
}

func (r *rewriter) expr(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.BinaryExpr:
		return r.binary(e)
	case *syntax.CallExpr:
		e.Fn = r.called(e.Fn)
		for i, arg := range e.Args {
			if star, ok := arg.(*syntax.UnaryExpr); ok && (star.Op == syntax.STAR || star.Op == syntax.STARSTAR) {
				name := guardArgs
				if star.Op == syntax.STARSTAR {
					name = guardNamed
				}
				star.X = r.guarded(name, star.OpPos, r.expr(star.X))
				continue
			}
			e.Args[i] = r.expr(arg)
		}
	case *syntax.Comprehension:
		return r.comprehension(e)
	case *syntax.CondExpr:
		e.Cond, e.True, e.False = r.expr(e.Cond), r.expr(e.True), r.expr(e.False)
	case *syntax.DictEntry:
		e.Key, e.Value = r.key(e.Key), r.expr(e.Value)
	case *syntax.DictExpr:
		if len(e.List) > literalEntries {
			return r.literal(e)
		}
		r.exprs(e.List)
		return r.made(e, e.Lbrace)
	case *syntax.DotExpr:
		e.X = r.expr(e.X)
		if checks[e.Name.Name] != nil {
			return r.guarded(guardAttr(e.Name.Name), e.Dot, e.X)
		}
	case *syntax.IndexExpr:
		name := guardGet
		if constant(e.Y) {
			name = guardAt
		}
		e.X, e.Y = r.guarded(name, e.Lbrack, r.expr(e.X)), r.expr(e.Y)
	case *syntax.LambdaExpr:
		return r.lambda(e)
	case *syntax.ListExpr:
		r.exprs(e.List)
		return r.made(e, e.Lbrack)
	case *syntax.ParenExpr:
		e.X = r.expr(e.X)
	case *syntax.SliceExpr:
		e.X, e.Lo, e.Hi, e.Step = r.expr(e.X), r.expr(e.Lo), r.expr(e.Hi), r.expr(e.Step)
		if e.Step != nil {
			e.X = r.guarded(guardStep, e.Lbrack, e.X)
			return r.guarded(guardTaken, e.Lbrack, e)
		}
		return r.guarded(guardMake, e.Lbrack, e)
	case *syntax.TupleExpr:
		r.exprs(e.List)
		return r.made(e, syntax.Start(e))
	case *syntax.UnaryExpr:
		if e.X == nil {
			return e // the * of def f(*, x)
		}
		if _, ok := e.X.(*syntax.Literal); ok {
			return e
		}
		e.X = r.expr(e.X)
		switch e.Op {
		case syntax.PLUS, syntax.MINUS, syntax.TILDE:
			return r.guarded(guardUnary(e.Op), e.OpPos, e.X)
		}
	}
	return e
}

// called rewrites the function of a call.
func (r *rewriter) called(fn syntax.Expr) syntax.Expr {
	dot, ok := fn.(*syntax.DotExpr)
	if !ok || checks[dot.Name.Name] == nil {
		return r.expr(fn)
	}
	return r.guarded(guardMethod(dot.Name.Name), dot.Dot, r.expr(dot.X))
}

func (r *rewriter) binary(e *syntax.BinaryExpr) syntax.Expr {
	if e.Op == syntax.EQ { // name = value
		e.Y = r.expr(e.Y)
		return e
	}
	xLiteral, yLiteral := literalText(e.X), literalText(e.Y)
	e.X, e.Y = r.expr(e.X), r.expr(e.Y)
	switch e.Op {
	case syntax.AND, syntax.OR:
		return e
	case syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE:
		if xLiteral || yLiteral { // the comparison is short
			return e
		}
	case syntax.PLUS:
		if xLiteral && yLiteral { // constant-folded by the compiler
			return e
		}
	}
	return indexed(r.guarded(guardOp(e.Op), e.OpPos, e.X), e.OpPos, e.Y)
}

// literalEntries is the maximum number of entries of a literal dict that is made in one
// step.
const literalEntries = 32

// literal rewrites a literal dict with many entries: they are inserted one by one, as
// elements of a list.
func (r *rewriter) literal(e *syntax.DictExpr) syntax.Expr {
	list := &syntax.ListExpr{Lbrack: e.Lbrace, Rbrack: e.Rbrace}
	list.List = append(list.List, r.guarded(guardOpen, e.Lbrace, number(e.Lbrace)))
	for _, entry := range e.List {
		entry := entry.(*syntax.DictEntry)
		list.List = append(list.List, r.entry(guardUniq, entry))
	}
	return r.guarded(guardClose, e.Lbrace, list)
}

// entry returns the expression that inserts an entry into the dict being built.
func (r *rewriter) entry(name string, e *syntax.DictEntry) syntax.Expr {
	return indexed(r.guarded(name, e.Colon, r.expr(e.Key)), e.Colon, r.expr(e.Value))
}

// key rewrites a key of a literal dict.
func (r *rewriter) key(e syntax.Expr) syntax.Expr {
	if constant(e) {
		return e
	}
	return r.guarded(guardKey, syntax.Start(e), r.expr(e))
}

// constant reports whether e is a literal string or integer, possibly with a sign.
func constant(e syntax.Expr) bool {
	if unary, ok := e.(*syntax.UnaryExpr); ok {
		e = unary.X
	}
	lit, ok := e.(*syntax.Literal)
	return ok && lit.Token != syntax.FLOAT
}

// literalText reports whether e is a literal string.
func literalText(e syntax.Expr) bool {
	lit, ok := e.(*syntax.Literal)
	return ok && lit.Token == syntax.STRING
}

// made rewrites a literal, if it can be evaluated more than once.
func (r *rewriter) made(e syntax.Expr, pos syntax.Position) syntax.Expr {
	if r.repeats == 0 {
		return e
	}
	return r.guarded(guardMake, pos, e)
}

func (r *rewriter) comprehension(e *syntax.Comprehension) syntax.Expr {
	var last *syntax.ForClause
	for i, clause := range e.Clauses {
		switch c := clause.(type) {
		case *syntax.ForClause:
			r.target(&c.Vars)
			c.X = r.expr(c.X)
			if i == 0 && e.Curly {
				c.X = r.guarded(guardOpen, c.In, c.X)
			}
			last = c
		case *syntax.IfClause:
			c.Cond = r.expr(c.Cond)
		}
		if i == 0 {
			r.repeats++
		}
	}
	defer func() { r.repeats-- }()
	if entry, ok := e.Body.(*syntax.DictEntry); ok && e.Curly {
		put := &syntax.IfClause{If: entry.Colon, Cond: r.entry(guardPut, entry)}
		return r.guarded(guardClose, e.Lbrack, &syntax.Comprehension{
			Lbrack: e.Lbrack, Rbrack: e.Rbrack, Body: number(e.Lbrack), Clauses: append(e.Clauses, put),
		})
	}
	last.X = r.guarded(guardEach, last.In, last.X)
	e.Body = r.expr(e.Body)
	return r.guarded(guardMake, e.Lbrack, e)
}

func (r *rewriter) lambda(e *syntax.LambdaExpr) syntax.Expr {
	r.exprs(e.Params)
	r.repeats++
	e.Body = r.expr(e.Body)
	r.repeats--
	for _, check := range r.conditions(e.Params, e.Lambda) {
		e.Body = &syntax.CondExpr{Cond: check, True: e.Body, False: number(e.Lambda), If: e.Lambda, ElsePos: e.Lambda}
	}
	return r.guarded(guardMake, e.Lambda, e)
}

// guarded returns name[x]. At run time its position is pos; in the tree it starts where x
// starts.
func (r *rewriter) guarded(name string, pos syntax.Position, x syntax.Expr) syntax.Expr {
	r.used[name] = true
	return indexed(&syntax.Ident{Name: name, NamePos: syntax.Start(x)}, pos, x)
}

func indexed(x syntax.Expr, pos syntax.Position, y syntax.Expr) syntax.Expr {
	return &syntax.IndexExpr{X: x, Lbrack: pos, Y: y, Rbrack: pos}
}
