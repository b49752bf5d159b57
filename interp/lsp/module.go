package lsp

import (
	"context"
	"slices"
	"sort"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// A module is what can be known of one file without running it. It is immutable.
type module struct {
	file  string // on disk; of a library such as "@std//web.star"
	root  string // its workspace; empty: a library
	text  *text
	tree  *syntax.File // of the parts that parse; nil if none do
	whole bool         // the whole file parses

	problems []plan.Diagnostic // of parsing and resolving
	uses     []use             // all names, in the order of the text
	quotes   []quoted          // string arguments, in the order of the text
	decls    map[*syntax.Ident]*decl
	globals  map[string]*decl
	loads    []*syntax.LoadStmt
}

// A decl is the declaration of a name.
type decl struct {
	id    *syntax.Ident
	in    *syntax.DefStmt // the enclosing function; nil: the module
	def   *syntax.DefStmt // set if it is a function
	param bool            // it is a parameter of in, or of a lambda
	value syntax.Expr     // the assigned value, or the default of a parameter
	load  *syntax.LoadStmt
	from  *syntax.Ident // its name in the loaded module
}

// A use is one occurrence of a name.
type use struct {
	id    *syntax.Ident
	start int // in the text
	decl  *decl
	// At most one of these is set: the name is an attribute, a keyword
	// argument, or a name in another module.
	dot  *syntax.DotExpr
	call *syntax.CallExpr
	load *syntax.LoadStmt

	applied *syntax.CallExpr // the call whose function the name is
}

func (u use) end() int { return u.start + len(u.id.Name) }

// A quoted is a string that may refer to something.
type quoted struct {
	lit        *syntax.Literal
	start, end int
	value      string
	call       *syntax.CallExpr
	arg        int    // index among the positional arguments
	keyword    string // of a keyword argument
	load       *syntax.LoadStmt
}

// maxRepairs limits how often a file is parsed again with a part left out.
const maxRepairs = 10

// maxAnalysed is the size, in bytes, up to which the names of a file are
// analyzed. A larger file, which was not written by hand, gets diagnostics
// only.
const maxAnalysed = 512 << 10

// analyse analyzes a file. The parts that do not parse are left out, so that
// the rest stays known while a part is being typed.
func analyse(ctx context.Context, file, root, name, data string, opts interp.Options) *module {
	m := &module{file: file, root: root, text: newText(data), decls: map[*syntax.Ident]*decl{}, globals: map[string]*decl{}}
	if len(data) > maxAnalysed {
		return m
	}
	m.tree, m.problems = interp.Check(ctx, name, []byte(data), opts)
	m.whole = m.tree != nil
	if !m.whole {
		m.repair(ctx, name, opts)
	}
	if m.tree != nil {
		m.walk()
	}
	return m
}

func (m *module) repair(ctx context.Context, name string, opts interp.Options) {
	data := []byte(m.text.data)
	starts, broken := chunks(m.text.data)
	cut := func(i int) {
		end := len(data)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		blank(data, starts[i], end)
	}
	for i, start := range starts {
		if broken[start] {
			cut(i)
		}
	}
	for range maxRepairs {
		tree, problems := interp.Check(ctx, name, data, opts)
		if tree != nil || len(problems) == 0 || ctx.Err() != nil {
			m.tree = tree
			return
		}
		at := m.text.at(syntax.MakePosition(nil, int32(problems[0].Pos.Line), int32(problems[0].Pos.Col)))
		i := sort.SearchInts(starts, at+1) - 1
		cut(max(i, 0))
	}
}

// walk collects the names of the tree.
func (m *module) walk() {
	var parents []syntax.Node
	seen := map[*syntax.Ident]bool{}
	syntax.Walk(m.tree, func(n syntax.Node) bool {
		if n == nil {
			parents = parents[:len(parents)-1]
			return true
		}
		switch n := n.(type) {
		case *syntax.Ident:
			if !seen[n] {
				seen[n] = true
				m.name(n, parents)
			}
		case *syntax.Literal:
			m.quote(n, parents)
		case *syntax.LoadStmt:
			m.loads = append(m.loads, n)
			for i, id := range n.To {
				m.declare(id, &decl{load: n, from: n.From[i]})
			}
		case *syntax.DefStmt:
			m.declare(n.Name, &decl{def: n, in: within(parents)})
			m.params(n.Params, n)
		case *syntax.LambdaExpr:
			m.params(n.Params, within(parents))
		case *syntax.AssignStmt:
			if id, ok := n.LHS.(*syntax.Ident); ok && n.Op == syntax.EQ {
				m.declare(id, &decl{value: n.RHS, in: within(parents)})
			}
		}
		parents = append(parents, n)
		return true
	})
	// Functions are declared before the names in them are seen, and names are
	// used before they are declared, so references are resolved at the end.
	for i := range m.uses {
		u := &m.uses[i]
		if b, ok := u.id.Binding.(*resolve.Binding); ok && b.First != nil {
			u.decl = m.decls[b.First]
		}
	}
	slices.SortFunc(m.uses, func(a, b use) int { return a.start - b.start })
	slices.SortFunc(m.quotes, func(a, b quoted) int { return a.start - b.start })
}

func within(parents []syntax.Node) *syntax.DefStmt {
	for _, p := range slices.Backward(parents) {
		if def, ok := p.(*syntax.DefStmt); ok {
			return def
		}
	}
	return nil
}

// declare records a declaration, if it is the first of its name.
func (m *module) declare(id *syntax.Ident, d *decl) {
	b, ok := id.Binding.(*resolve.Binding)
	if !ok || b.First != id || m.decls[id] != nil {
		return
	}
	d.id = id
	m.decls[id] = d
	if b.Scope == resolve.Global || d.load != nil {
		m.globals[id.Name] = d
	}
}

func (m *module) params(list []syntax.Expr, fn *syntax.DefStmt) {
	for _, p := range list {
		if id, value := paramOf(p); id != nil {
			m.declare(id, &decl{param: true, in: fn, value: value})
		}
	}
}

// paramOf returns the name and the default of a parameter; the name is empty for a "*".
func paramOf(p syntax.Expr) (*syntax.Ident, syntax.Expr) {
	switch p := p.(type) {
	case *syntax.Ident:
		return p, nil
	case *syntax.BinaryExpr:
		id, _ := p.X.(*syntax.Ident)
		return id, p.Y
	case *syntax.UnaryExpr:
		id, _ := p.X.(*syntax.Ident)
		return id, nil
	}
	return nil, nil
}

// name records one occurrence of a name.
func (m *module) name(id *syntax.Ident, parents []syntax.Node) {
	u := use{id: id, start: m.text.at(id.NamePos)}
	switch p := parents[len(parents)-1].(type) {
	case *syntax.DotExpr:
		if p.Name == id {
			u.dot = p
		}
	case *syntax.BinaryExpr:
		if p.Op == syntax.EQ && p.X == id && len(parents) > 1 {
			u.call, _ = parents[len(parents)-2].(*syntax.CallExpr)
		}
	case *syntax.CallExpr:
		if p.Fn == id {
			u.applied = p
		}
	case *syntax.LoadStmt:
		if slices.Contains(p.From, id) {
			u.load = p
		}
	}
	// The variable of a loop or of an unpacking.
	if u.dot == nil && u.call == nil && u.load == nil {
		m.declare(id, &decl{in: within(parents)})
	}
	m.uses = append(m.uses, u)
}

// quote records a string in a load or in a call, including one in a list.
func (m *module) quote(lit *syntax.Literal, parents []syntax.Node) {
	value, ok := lit.Value.(string)
	if !ok || lit.Token != syntax.STRING {
		return
	}
	q := quoted{lit: lit, value: value}
	q.start, q.end = m.text.node(lit)
	var arg syntax.Node = lit
	for _, p := range slices.Backward(parents) {
		switch p := p.(type) {
		case *syntax.ListExpr, *syntax.TupleExpr, *syntax.ParenExpr:
			arg = p
			continue
		case *syntax.BinaryExpr:
			if id, ok := p.X.(*syntax.Ident); ok && p.Op == syntax.EQ && p.Y == arg {
				q.keyword, arg = id.Name, p
				continue
			}
		case *syntax.LoadStmt:
			q.load = p
		case *syntax.CallExpr:
			q.call = p
			q.arg = slices.IndexFunc(p.Args, func(x syntax.Expr) bool { return syntax.Node(x) == arg })
			if q.arg < 0 { // the string is in the called expression
				return
			}
		}
		break
	}
	if q.call != nil || q.load != nil {
		m.quotes = append(m.quotes, q)
	}
}

// useAt returns the name at off.
func (m *module) useAt(off int) (use, bool) {
	i := sort.Search(len(m.uses), func(i int) bool { return m.uses[i].end() >= off })
	for ; i < len(m.uses) && m.uses[i].start <= off; i++ {
		if off <= m.uses[i].end() {
			return m.uses[i], true
		}
	}
	return use{}, false
}

// quoteAt returns the string at off.
func (m *module) quoteAt(off int) (quoted, bool) {
	for _, q := range m.quotes {
		if q.start < off && off < q.end {
			return q, true
		}
	}
	return quoted{}, false
}

// encloses reports whether off is in the function, including the indented lines
// after its last statement.
func (m *module) encloses(def *syntax.DefStmt, off int) bool {
	start, end := m.text.node(def)
	if off <= end {
		return start <= off
	}
	line := m.text.lines[m.text.position(off).Line]
	return line > end && off-line > int(def.Def.Col)-1 && strings.TrimSpace(m.text.data[end:off]) == ""
}

// visible returns the declarations that are in scope at off, by name.
func (m *module) visible(off int) map[string]*decl {
	out := map[string]*decl{}
	for name, d := range m.globals {
		out[name] = d
	}
	for _, u := range m.uses { // in order: inner functions come later
		if d := m.decls[u.id]; d != nil && d.in != nil && m.encloses(d.in, off) {
			out[d.id.Name] = d
		}
	}
	return out
}
