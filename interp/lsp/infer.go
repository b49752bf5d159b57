package lsp

import (
	"context"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	vocabulary "github.com/pipelinefile/pipe/internal/builtins"
)

// A value is what can be inferred about an expression without running it.
type value struct {
	typ    string           // named as in the reference; empty: unknown
	fn     *function        // set if it is callable
	lib    string           // set if it is a library such as "json"
	fields map[string]value // of a struct
	names  []string         // of the fields, in order
	call   *syntax.CallExpr // that created it, if it is a service, a stage or a parameter
	mod    *module          // that contains the call
}

// A function is a builtin or a def.
type function struct {
	builtin *builtins.Func
	def     *syntax.DefStmt
	mod     *module // of the def
}

// deepest limits how many references are followed.
const deepest = 12

// A table holds the builtins by name.
type table struct {
	funcs map[string]*builtins.Func
	libs  map[string][]*builtins.Func
	types map[string]vocabulary.Type
	names map[string]vocabulary.Name
	order []string        // of the functions without a library
	tests map[string]bool // functions that only test files have
}

// newTable returns the standard builtins and those of the host program.
func newTable(host []*builtins.Func) *table {
	t := &table{
		funcs: map[string]*builtins.Func{}, libs: map[string][]*builtins.Func{},
		types: map[string]vocabulary.Type{}, names: map[string]vocabulary.Name{}, tests: map[string]bool{},
	}
	for _, f := range vocabulary.OfTests() {
		t.tests[f.Name] = true
	}
	for _, f := range slices.Concat(vocabulary.Available(vocabulary.TestSuffix), host) {
		known := t.funcs[f.Name] != nil
		t.funcs[f.Name] = f
		if known { // the host program overrides a standard builtin
			delete(t.tests, f.Name)
		} else if lib, _, ok := strings.Cut(f.Name, "."); ok {
			t.libs[lib] = append(t.libs[lib], f)
		} else {
			t.order = append(t.order, f.Name)
		}
	}
	for _, typ := range vocabulary.Types() {
		t.types[typ.Name] = typ
	}
	for _, n := range vocabulary.Names() {
		t.names[n.Name] = n
	}
	return t
}

// has reports whether a function is available in a module: some are available only in tests.
func (t *table) has(m *module, name string) bool {
	return !t.tests[name] || strings.HasSuffix(m.file, vocabulary.TestSuffix)
}

// builtinNames returns all predeclared names of a module.
func (t *table) builtinNames(m *module) []string {
	var names []string
	for _, name := range t.order {
		if t.has(m, name) {
			names = append(names, name)
		}
	}
	for lib := range t.libs {
		names = append(names, lib)
	}
	for name := range t.names {
		names = append(names, name)
	}
	for name := range starlark.Universe {
		if t.funcs[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// builtin returns the value of a predeclared name of a module.
func (t *table) builtin(m *module, name string) value {
	if f := t.funcs[name]; f != nil && t.has(m, name) {
		return value{fn: &function{builtin: f}}
	}
	if len(t.libs[name]) > 0 {
		return value{lib: name}
	}
	if n, ok := t.names[name]; ok {
		return value{typ: n.Type}
	}
	return value{}
}

// A finder infers values of expressions.
type finder struct {
	ctx   context.Context
	w     *workspace
	table *table
	// at, unless negative, is the position of an expression whose names have no
	// bindings because it is not part of the tree.
	at int
	// left is how many more expressions may be visited. A hostile file can make
	// this exponential: each name has two meanings, and each of those has two.
	left *int
}

func (s *server) finder(ctx context.Context) finder {
	left := 10_000
	return finder{ctx, s.workspace, s.table, -1, &left}
}

// above is f for expressions of a tree.
func (f finder) above() finder {
	f.at = -1
	return f
}

// meaning follows loads to the declaration that gives a name its value.
func (f finder) meaning(m *module, d *decl) (*module, *decl) {
	if d.load == nil {
		return m, d
	}
	from := f.w.loaded(f.ctx, m, d.load.Module.Value.(string))
	if from == nil {
		return m, d
	}
	// A module does not re-export what it loads.
	if g := from.globals[d.from.Name]; g != nil && g.load == nil {
		return from, g
	}
	return m, d
}

func (f finder) decl(m *module, d *decl, depth int) value {
	from, g := f.meaning(m, d)
	switch {
	case g.def != nil:
		return value{fn: &function{def: g.def, mod: from}}
	case g.value != nil && !g.param:
		return f.above().expr(from, g.value, depth)
	}
	return value{}
}

// expr returns the value of an expression of m.
func (f finder) expr(m *module, x syntax.Expr, depth int) value {
	if *f.left--; depth > deepest || *f.left < 0 {
		return value{}
	}
	depth++
	switch x := x.(type) {
	case *syntax.Ident:
		if d := f.lookup(m, x); d != nil {
			return f.decl(m, d, depth)
		}
		return f.table.builtin(m, x.Name)
	case *syntax.ParenExpr:
		return f.expr(m, x.X, depth)
	case *syntax.Literal:
		return value{typ: map[syntax.Token]string{
			syntax.STRING: "str", syntax.INT: "int", syntax.FLOAT: "float", syntax.BYTES: "bytes"}[x.Token]}
	case *syntax.ListExpr:
		return value{typ: "list"}
	case *syntax.DictExpr:
		return value{typ: "dict"}
	case *syntax.Comprehension:
		if x.Curly {
			return value{typ: "dict"}
		}
		return value{typ: "list"}
	case *syntax.CondExpr:
		if v := f.expr(m, x.True, depth); v.typ != "" || v.fields != nil {
			return v
		}
		return f.expr(m, x.False, depth)
	case *syntax.BinaryExpr:
		if v := f.expr(m, x.X, depth); (x.Op == syntax.PLUS || x.Op == syntax.PERCENT) && (v.typ == "str" || v.typ == "list") {
			return value{typ: v.typ}
		}
	case *syntax.DotExpr:
		return f.attr(f.expr(m, x.X, depth), x.Name.Name)
	case *syntax.CallExpr:
		return f.call(m, x, depth)
	}
	return value{}
}

// lookup returns the declaration of a name, or nil for a builtin.
func (f finder) lookup(m *module, id *syntax.Ident) *decl {
	if b, ok := id.Binding.(*resolve.Binding); ok {
		return m.decls[b.First]
	}
	if f.at >= 0 {
		return m.visible(f.at)[id.Name]
	}
	return nil
}

// attr returns an attribute of a value.
func (f finder) attr(v value, name string) value {
	if v.lib != "" {
		if fn := f.table.funcs[v.lib+"."+name]; fn != nil {
			return value{fn: &function{builtin: fn}}
		}
		return value{}
	}
	if v.fields != nil {
		return v.fields[name]
	}
	for _, a := range f.table.types[v.typ].Attrs {
		if a.Name == name {
			return value{typ: strings.TrimSuffix(a.Type, " | secret")}
		}
	}
	return value{}
}

// call returns the value of a call.
func (f finder) call(m *module, x *syntax.CallExpr, depth int) value {
	fn := f.expr(m, x.Fn, depth).fn
	switch {
	case fn == nil:
		return value{}
	case fn.builtin != nil:
		return f.made(fn.builtin, m, x, depth)
	}
	var last value
	for _, r := range returns(fn.def.Body) {
		if v := f.above().expr(fn.mod, r, depth); v.typ != "" || v.fields != nil {
			last = v
			break
		}
	}
	if last.typ == "service" || last.typ == "stage" {
		last.call, last.mod = x, m // the caller's call is its declaration
	}
	return last
}

// made returns the value that a call of a builtin returns.
func (f finder) made(b *builtins.Func, m *module, x *syntax.CallExpr, depth int) value {
	v := value{typ: b.Result, call: x, mod: m}
	switch b.Name {
	case "struct":
		v.fields = map[string]value{}
		for _, arg := range x.Args {
			if kw, ok := arg.(*syntax.BinaryExpr); ok && kw.Op == syntax.EQ {
				name := kw.X.(*syntax.Ident).Name
				v.names = append(v.names, name)
				v.fields[name] = f.expr(m, kw.Y, depth)
			}
		}
	case "default_stages":
		v.fields = map[string]value{}
		for _, t := range vocabulary.DefaultTypes {
			name := strings.ToLower(string(t))
			v.names = append(v.names, name)
			v.fields[name] = value{typ: "stage"}
		}
	case "param":
		v.typ = "str"
		if t, ok := argument(b, x, "type").(*syntax.Literal); ok {
			if name, _ := t.Value.(string); name != "string" {
				v.typ = name
			}
		}
	}
	if v.typ == "None" {
		v.typ = ""
	}
	return v
}

// argument returns the argument that a call of a builtin passes for a parameter, or nil.
func argument(b *builtins.Func, x *syntax.CallExpr, name string) syntax.Expr {
	for i, arg := range x.Args {
		if kw, ok := arg.(*syntax.BinaryExpr); ok && kw.Op == syntax.EQ {
			if id, ok := kw.X.(*syntax.Ident); ok && id.Name == name {
				return kw.Y
			}
			continue
		}
		if i < len(b.Params) && b.Params[i].Name == name && !b.Params[i].Keyword {
			return arg
		}
	}
	return nil
}

// returns lists the return values of a function, without those of nested functions.
func returns(body []syntax.Stmt) []syntax.Expr {
	var out []syntax.Expr
	for _, stmt := range body {
		switch s := stmt.(type) {
		case *syntax.ReturnStmt:
			if s.Result != nil {
				out = append(out, s.Result)
			}
		case *syntax.IfStmt:
			out = append(append(out, returns(s.True)...), returns(s.False)...)
		case *syntax.ForStmt:
			out = append(out, returns(s.Body)...)
		}
	}
	return out
}

// own returns the attributes of Starlark's built-in types.
func own(typ string) []string {
	var v starlark.HasAttrs
	switch typ {
	case "str":
		v = starlark.String("")
	case "bytes":
		v = starlark.Bytes("")
	case "list":
		v = new(starlark.List)
	case "dict":
		v = new(starlark.Dict)
	default:
		return nil
	}
	return v.AttrNames()
}
