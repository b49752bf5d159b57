package tree

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stateful are the package variables that may look like state: by package and
// name, with the reason.
var stateful = map[string]string{
	"runtime/render.register": "the types that gob knows are a table of the process",
	"stdlib.FS":               "embedding files takes a variable",
	"runtime/store.machine":   "read once, and the same for as long as the process lives",
}

// TestNoGlobalState: no package variable changes after the program has started,
// so that any number of evaluations and runs can go on at once (G1). Nothing
// assigns to one or to a part of it, or takes its address; none is there to be
// changed, as a lock or a cache is; and no init does more than filling a table.
func TestNoGlobalState(t *testing.T) {
	for pkg := range policy(t) {
		if strings.HasPrefix(pkg, "cmd/") || pkg == "runtime/internal/testenv" {
			continue
		}
		fset := token.NewFileSet()
		for _, found := range globalState(pkg, fset, read(t, fset, pkg, false)) {
			t.Errorf("%s: %s", pkg, found)
		}
	}
}

// TestGlobalState: the check finds what it is there for, and nothing else.
func TestGlobalState(t *testing.T) {
	const src = `package p
var table = map[string]int{}
var list []int
var once sync.Once
var Limit = 3
var ErrBad = errors.New("bad")
type counter struct{ n int }
var count counter
func init() { table["a"] = 1 }
func f(x []int) {
	table["b"] = 2
	list = append(list, 1)
	count.n++
	for list[0] = range 3 {}
	_ = &count
	delete(table, "a")
	list := x
	list[0] = 1
	y := table
	_ = len(y)
}`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := globalState("p", fset, []*ast.File{f})
	slices.Sort(got)
	want := []string{
		"p.go:11:2: table is changed", "p.go:12:2: list is changed", "p.go:13:2: count is changed", "p.go:14:2: list is changed",
		"p.go:15:6: count is changed", "p.go:16:2: table is changed",
		"p.go:4:5: once is a sync.Once, which is there to be changed", "p.go:5:5: Limit is exported, so that anybody can change it",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("globalState (-want +got):\n%s", diff)
	}
}

// globalState returns what changes package variables, or is made to.
func globalState(pkg string, fset *token.FileSet, files []*ast.File) (found []string) {
	add := func(n ast.Node, format string, args ...any) {
		found = append(found, fset.Position(n.Pos()).String()+": "+fmt.Sprintf(format, args...))
	}
	// Imports are not needed to tell package variables from others.
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	p, _ := conf.Check(module+pkg, fset, files, info) // the errors are about imports
	changed := func(n ast.Node, e ast.Expr) {
		id := base(e)
		if id == nil || stateful[pkg+"."+id.Name] != "" {
			return
		}
		if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == p.Scope() {
			add(n, "%s is changed", id.Name)
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if isInit(d) {
				ast.Inspect(d, func(n ast.Node) bool {
					if _, ok := n.(*ast.ExprStmt); ok {
						add(n, "init does something, and not only fills a table")
					}
					return true
				})
				continue
			}
			declaresState(pkg, d, add)
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.AssignStmt:
					for _, e := range n.Lhs {
						changed(n, e)
					}
				case *ast.IncDecStmt:
					changed(n, n.X)
				case *ast.RangeStmt:
					changed(n, n.Key)
					changed(n, n.Value)
				case *ast.UnaryExpr:
					if n.Op == token.AND {
						changed(n, n.X)
					}
				case *ast.CallExpr:
					if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && slices.Contains([]string{"delete", "clear", "copy"}, id.Name) {
						changed(n, n.Args[0])
					}
				}
				return true
			})
		}
	}
	return found
}

func isInit(d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	return ok && f.Recv == nil && f.Name.Name == "init"
}

// declaresState adds the package variables of a declaration that are there to be
// changed.
func declaresState(pkg string, d ast.Decl, add func(n ast.Node, format string, args ...any)) {
	gen, ok := d.(*ast.GenDecl)
	if !ok || gen.Tok != token.VAR {
		return
	}
	for _, spec := range gen.Specs {
		spec := spec.(*ast.ValueSpec)
		for i, name := range spec.Names {
			if stateful[pkg+"."+name.Name] != "" {
				continue
			}
			if name.IsExported() && !isInternal(pkg) && (i >= len(spec.Values) || !strings.HasPrefix(types.ExprString(spec.Values[i]), "errors.New(")) {
				add(name, "%s is exported, so that anybody can change it", name)
			}
			ast.Inspect(spec, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") {
						add(name, "%s is a %s.%s, which is there to be changed", name, x, sel.Sel)
					}
				}
				_, isFunc := n.(*ast.FuncLit)
				return !isFunc
			})
		}
	}
}

// isInternal reports whether no other module can import a package.
func isInternal(pkg string) bool {
	return strings.Contains("/"+pkg+"/", "/internal/") || strings.HasPrefix(pkg, "cmd/")
}

// base returns the name that an expression such as v.field[i] begins with, or nil.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// nothing imports every package as an empty one.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, path[strings.LastIndexByte(path, '/')+1:])
	p.MarkComplete()
	return p, nil
}
