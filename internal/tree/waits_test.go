package tree

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tests run beside other work, which can stop any of them for seconds. So a test waits
// for the thing itself or in the bubble of a synctest, and a limit on real time only
// bounds a hang.

// leastLimit is the shortest limit on real time.
const leastLimit = 30 * time.Second

// waitsAllowed are the functions that may do otherwise, and why no load makes them fail.
var waitsAllowed = map[string]string{
	// They choose the moment of a kill, a cut or an end, and any moment is right.
	"examples/images:testPostgres":                            "kills it in another step each time",
	"internal/background:TestIdleProcessEndsWhileCallersCome": "callers come at other moments each time",
	"internal/background:TestProcessKilledWhileCallersCome":   "kills at other moments each time",
	"internal/background:TestStarterKilledAtAnyMoment":        "kills at another moment each time",
	"interp:TestCancel":                                       "cancels a loop that does not end",
	"interp:TestCancelLong":                                   "cancels what takes long",
	"runtime/deploy:TestRenderStopped":                        "cancels what does not end",
	"runtime/deploy:restarting":                               "cuts the connection at random moments",
	"runtime/deploy:run":                                      "kills at a random moment",
	"runtime/deploy:unanswered":                               "answers a write after a lease is lost",
	"runtime/deploy:withTrouble":                              "is a server that is slow at random",
	"runtime/runtimetest:testBuilderCancelled":                "cancels a build of ten minutes",
	// They see that nothing happens in a while, which a load does not make happen.
	"internal/background:TestIdleProcessEnds":        "what is in use does not end",
	"runtime/build/daemon:connectedOnly":             "what is in use does not end",
	"runtime/registry/serve:TestEndsIdleAndNotInUse": "an upload takes longer than the idle time",
	"runtime/runtimetest:testLockerAsked":            "a lease is held for longer than one that is not renewed",
	"runtime/runtimetest:testLockerCancelled":        "a lease is held for longer than one that is not renewed",
	"runtime/runtimetest:testLockerRenewed":          "a lease is held for longer than one that is not renewed",
	"runtime/store:TestClockSkew":                    "a lease is held for longer than one that is not renewed",
	"runtime/store:TestFreshAfterCrash":              "a lease that is not renewed expires",
	"runtime/store:TestShakyServer":                  "a lease is held for longer than one that is not renewed",
	"runtime/store:TestSteppedClock":                 "a lease is held for longer than one that is not renewed",
	// Others.
	"runtime/build:settle":             "the time of a change of a file cannot be set, so it must pass",
	"runtime/runtimetest:AwaitSecrets": "its time is virtual where it is tested",
	"runtime/runtimetest:Kill":         "its time is virtual where it is tested",
	"runtime/runtimetest:work":         "its time is virtual where it is tested",
	"runtime/watch:SetSince":           "its time is virtual where it is tested",
}

// testSupport are packages that are only for tests, all of whose files count.
var testSupport = []string{"runtime/runtimetest", "runtime/internal/testenv"}

// limits are the functions that take a limit on time, with the index of the parameter.
var limits = map[string]int{
	"time.After": 0, "time.AfterFunc": 0, "time.NewTimer": 0,
	"context.WithTimeout": 1, "context.WithTimeoutCause": 1,
}

// TestWaits: no test sleeps, measures time or has a short limit, outside the bubbles of
// synctest. It reads the files of every module and operating system.
func TestWaits(t *testing.T) {
	dirs, used := map[string]*waits{}, map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel == "bin" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".git") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(rel, ".txtar") {
			checkScript(t, file, rel)
			return nil
		}
		dir := path.Dir(rel)
		if !strings.HasSuffix(rel, "_test.go") && (!strings.HasSuffix(rel, ".go") || !slices.Contains(testSupport, dir)) {
			return nil
		}
		if dirs[dir] == nil {
			dirs[dir] = &waits{dir: dir, fset: token.NewFileSet(), consts: map[string]ast.Expr{}}
		}
		return dirs[dir].parse(file, rel)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range dirs {
		w.findReal()
		for _, f := range w.found() {
			if waitsAllowed[f.function] == "" {
				t.Errorf("%s: %s: %s", f.at, f.function, f.what)
			}
			used[f.function] = true
		}
	}
	for function := range waitsAllowed {
		if !used[function] {
			t.Errorf("%s is allowed to wait, and does not", function)
		}
	}
}

var scriptSleep = regexp.MustCompile(`(?m)^.*\bsleep [0-9].*$`)

// checkScript reports what sleeps in a script, other than in a loop until something is so.
func checkScript(t *testing.T, file, rel string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range scriptSleep.FindAllString(string(data), -1) {
		if strings.HasPrefix(line, "exec ") && !strings.Contains(line, "until ") {
			t.Errorf("%s: sleeps: %s", rel, line)
		}
	}
}

// waits are the test files of one directory.
type waits struct {
	dir    string
	fset   *token.FileSet
	files  []*ast.File
	consts map[string]ast.Expr
	real   map[string]bool // functions that are called outside every bubble
	opens  map[string]bool // functions that open a bubble for what they are given
}

func (w *waits) parse(file, rel string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(w.fset, rel, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	w.files = append(w.files, f)
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
			for i, name := range spec.Names {
				w.consts[name.Name] = spec.Values[i]
			}
		}
		return true
	})
	return nil
}

// functions calls do for each function of the directory.
func (w *waits) functions(do func(*ast.FuncDecl)) {
	for _, f := range w.files {
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
				do(d)
			}
		}
	}
}

// called returns the name of what is called: with the package of another one.
func called(n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return ""
	}
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok {
			return x.Name + "." + fun.Sel.Name
		}
		return fun.Sel.Name
	}
	return ""
}

// findReal finds which functions run outside the bubbles: tests, and what real code
// names.
func (w *waits) findReal() {
	w.real, w.opens = map[string]bool{}, map[string]bool{}
	declared := map[string]int{}
	w.functions(func(d *ast.FuncDecl) {
		declared[d.Name.Name]++
		ast.Inspect(d.Body, func(n ast.Node) bool {
			if called(n) == "synctest.Test" {
				w.opens[d.Name.Name] = true
			}
			return true
		})
	})
	named := map[string]bool{}
	w.functions(func(d *ast.FuncDecl) {
		ast.Inspect(d.Body, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				named[id.Name] = true
			}
			return true
		})
	})
	w.functions(func(d *ast.FuncDecl) {
		isBenchmark := strings.HasPrefix(d.Name.Name, "Benchmark")
		if !isBenchmark && (d.Name.IsExported() || !named[d.Name.Name]) { // tests, and what other packages call
			w.real[d.Name.Name] = true
		}
	})
	for before := -1; before != len(w.real); {
		before = len(w.real)
		w.functions(func(d *ast.FuncDecl) {
			if w.real[d.Name.Name] {
				w.inspectReal(d, func(n ast.Node) {
					if id, ok := n.(*ast.Ident); ok && declared[id.Name] > 0 {
						w.real[id.Name] = true
					}
				})
			}
		})
	}
}

// inspectReal calls do for what of a function is not in a bubble.
func (w *waits) inspectReal(d *ast.FuncDecl, do func(ast.Node)) {
	ast.Inspect(d.Body, func(n ast.Node) bool {
		if n == nil {
			return false
		}
		if _, ok := n.(*ast.FuncLit); ok && w.opens[d.Name.Name] {
			return false // what a test with a bubble has in functions is for the bubble
		}
		if call, ok := n.(*ast.CallExpr); ok {
			name := called(n)
			if name == "synctest.Test" || w.opens[name] {
				do(call.Fun)
				return false
			}
		}
		do(n)
		return true
	})
}

// A wait is a place that waits for real time.
type wait struct{ at, function, what string }

func (w *waits) found() []wait {
	var out []wait
	w.functions(func(d *ast.FuncDecl) {
		name := d.Name.Name
		if !w.real[name] {
			return
		}
		add := func(n ast.Node, format string, args ...any) {
			out = append(out, wait{w.fset.Position(n.Pos()).String(), w.dir + ":" + name, fmt.Sprintf(format, args...)})
		}
		polls, measured := map[ast.Node]bool{}, map[string]bool{}
		w.inspectReal(d, func(n ast.Node) {
			switch n := n.(type) {
			case *ast.ForStmt:
				if post, ok := n.Post.(*ast.ExprStmt); ok {
					polls[post.X] = true
				}
				if init, ok := n.Init.(*ast.AssignStmt); ok {
					for _, v := range init.Rhs {
						if call, ok := v.(*ast.CallExpr); ok && len(call.Args) == 1 && called(call) == "Add" {
							w.limit(call.Args[0], call, add)
						}
					}
				}
			case *ast.AssignStmt:
				if len(n.Lhs) == 1 && measures(n.Rhs[0]) {
					if id, ok := n.Lhs[0].(*ast.Ident); ok {
						measured[id.Name] = true
					}
				}
			case *ast.BinaryExpr:
				took, most := n.X, n.Y
				switch n.Op {
				case token.LSS, token.LEQ:
					took, most = most, took
				case token.GTR, token.GEQ:
				default:
					return
				}
				if id, ok := took.(*ast.Ident); measures(took) || ok && measured[id.Name] {
					w.limit(most, n, add)
				}
			case *ast.CallExpr:
				fun := called(n)
				if fun == "time.Sleep" && !polls[n] {
					add(n, "sleeps")
				}
				if i, ok := limits[fun]; ok && i < len(n.Args) {
					w.limit(n.Args[i], n, add)
				}
			}
		})
	})
	return out
}

// measures reports whether an expression has a measured time in it.
func measures(x ast.Expr) (is bool) {
	ast.Inspect(x, func(n ast.Node) bool {
		_, isFunc := n.(*ast.FuncLit)
		name := called(n)
		is = is || name == "time.Since" || name == "Sub" || strings.HasSuffix(name, ".Sub")
		return !isFunc
	})
	return is
}

func (w *waits) limit(x ast.Expr, at ast.Node, add func(ast.Node, string, ...any)) {
	v := w.eval(x, 0)
	if v.Kind() != constant.Int {
		add(at, "has a limit that is not a constant")
	} else if n, _ := constant.Int64Val(v); time.Duration(n) < leastLimit {
		add(at, "has a limit of %s on real time", time.Duration(n))
	}
}

var units = map[string]time.Duration{
	"Nanosecond": 1, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
}

// eval returns the value of a constant duration, of a sum with one at least that;
// Unknown of everything else.
func (w *waits) eval(x ast.Expr, depth int) constant.Value {
	unknown := constant.MakeUnknown()
	if depth > 10 {
		return unknown
	}
	switch x := x.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(x.Value, x.Kind, 0)
	case *ast.ParenExpr:
		return w.eval(x.X, depth+1)
	case *ast.Ident:
		if v, ok := w.consts[x.Name]; ok {
			return w.eval(v, depth+1)
		}
	case *ast.SelectorExpr:
		if u, ok := units[x.Sel.Name]; ok {
			return constant.MakeInt64(int64(u))
		}
	case *ast.BinaryExpr:
		a, b := w.eval(x.X, depth+1), w.eval(x.Y, depth+1)
		switch {
		case x.Op == token.ADD && a.Kind() == constant.Unknown:
			return b
		case x.Op == token.ADD && b.Kind() == constant.Unknown:
			return a
		}
		if a.Kind() == constant.Int && b.Kind() == constant.Int && slices.Contains([]token.Token{token.MUL, token.ADD, token.SUB}, x.Op) {
			return constant.BinaryOp(a, x.Op, b)
		}
	}
	return unknown
}
