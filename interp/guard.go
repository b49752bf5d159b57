package interp

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
)

// The interpreter has no hook for operators. So the syntax tree is rewritten
// before it is compiled: an operation that needs a look at its operands becomes
// a call of a function whose name no program can write. The call stands where the
// operator stood, so positions and stacks stay right.
//
// What is looked at here is secrets: making text with one would put a
// placeholder where the value was meant.
const (
	modName    = "%"       // x % y
	formatName = "%format" // x.format, before it is called
)

// addGuards declares the functions that guarded operations call.
func addGuards(env starlark.StringDict) {
	env[modName] = starlark.NewBuiltin(modName, guardedMod)
	env[formatName] = starlark.NewBuiltin(formatName, guardedFormat)
}

func guardedMod(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if _, ok := args[0].(starlark.String); ok {
		if err := builtins.HasSecret(modName, args[1]); err != nil {
			return nil, err
		}
	}
	return starlark.Binary(syntax.PERCENT, args[0], args[1])
}

// guardedFormat returns the method format of its argument.
func guardedFormat(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	x, ok := args[0].(starlark.HasAttrs)
	if !ok {
		return nil, fmt.Errorf("%s has no .format field or method", args[0].Type())
	}
	method, err := x.Attr("format")
	if method == nil && err == nil {
		err = fmt.Errorf("%s has no .format field or method", args[0].Type())
	}
	inner, ok := method.(*starlark.Builtin)
	if err != nil || !ok {
		return method, err
	}
	if _, ok := x.(starlark.String); !ok {
		return method, nil
	}
	return starlark.NewBuiltin("format", func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if err := builtins.HasSecret("format", args); err != nil {
			return nil, err
		}
		for _, kv := range kwargs {
			if err := builtins.HasSecret("format", kv[1]); err != nil {
				return nil, err
			}
		}
		return inner.CallInternal(th, args, kwargs)
	}), nil
}

// guard rewrites a tree.
func guard(tree *syntax.File) { guardStmts(tree.Stmts) }

func guardStmts(stmts []syntax.Stmt) {
	for _, s := range stmts {
		switch s := s.(type) {
		case *syntax.AssignStmt:
			s.LHS, s.RHS = guardExpr(s.LHS), guardExpr(s.RHS)
			// x %= y; where x is more than a name it would be evaluated twice.
			if id, ok := s.LHS.(*syntax.Ident); ok && s.Op == syntax.PERCENT_EQ {
				s.Op = syntax.EQ
				s.RHS = guardCall(modName, s.OpPos, &syntax.Ident{Name: id.Name, NamePos: id.NamePos}, s.RHS)
			}
		case *syntax.DefStmt:
			guardExprs(s.Params)
			guardStmts(s.Body)
		case *syntax.ExprStmt:
			s.X = guardExpr(s.X)
		case *syntax.ForStmt:
			s.Vars, s.X = guardExpr(s.Vars), guardExpr(s.X)
			guardStmts(s.Body)
		case *syntax.WhileStmt:
			s.Cond = guardExpr(s.Cond)
			guardStmts(s.Body)
		case *syntax.IfStmt:
			s.Cond = guardExpr(s.Cond)
			guardStmts(s.True)
			guardStmts(s.False)
		case *syntax.ReturnStmt:
			s.Result = guardExpr(s.Result)
		}
	}
}

func guardExprs(list []syntax.Expr) {
	for i := range list {
		list[i] = guardExpr(list[i])
	}
}

func guardExpr(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.BinaryExpr:
		e.X, e.Y = guardExpr(e.X), guardExpr(e.Y)
		if e.Op == syntax.PERCENT {
			return guardCall(modName, e.OpPos, e.X, e.Y)
		}
	case *syntax.CallExpr:
		e.Fn = guardExpr(e.Fn)
		if dot, ok := e.Fn.(*syntax.DotExpr); ok && dot.Name.Name == "format" {
			e.Fn = guardCall(formatName, dot.Dot, dot.X)
		}
		guardExprs(e.Args)
	case *syntax.Comprehension:
		e.Body = guardExpr(e.Body)
		for _, clause := range e.Clauses {
			switch c := clause.(type) {
			case *syntax.ForClause:
				c.Vars, c.X = guardExpr(c.Vars), guardExpr(c.X)
			case *syntax.IfClause:
				c.Cond = guardExpr(c.Cond)
			}
		}
	case *syntax.CondExpr:
		e.Cond, e.True, e.False = guardExpr(e.Cond), guardExpr(e.True), guardExpr(e.False)
	case *syntax.DictEntry:
		e.Key, e.Value = guardExpr(e.Key), guardExpr(e.Value)
	case *syntax.DictExpr:
		guardExprs(e.List)
	case *syntax.DotExpr:
		e.X = guardExpr(e.X)
	case *syntax.IndexExpr:
		e.X, e.Y = guardExpr(e.X), guardExpr(e.Y)
	case *syntax.LambdaExpr:
		guardExprs(e.Params)
		e.Body = guardExpr(e.Body)
	case *syntax.ListExpr:
		guardExprs(e.List)
	case *syntax.ParenExpr:
		e.X = guardExpr(e.X)
	case *syntax.SliceExpr:
		e.X, e.Lo, e.Hi, e.Step = guardExpr(e.X), guardExpr(e.Lo), guardExpr(e.Hi), guardExpr(e.Step)
	case *syntax.TupleExpr:
		guardExprs(e.List)
	case *syntax.UnaryExpr:
		e.X = guardExpr(e.X)
	}
	return e
}

// guardCall returns the call of a guard. At run time it stands at pos; as part of
// the tree it starts where its operand starts.
func guardCall(name string, pos syntax.Position, args ...syntax.Expr) *syntax.CallExpr {
	fn := &syntax.Ident{Name: name, NamePos: syntax.Start(args[0])}
	return &syntax.CallExpr{Fn: fn, Lparen: pos, Args: args, Rparen: pos}
}
