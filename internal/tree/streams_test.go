package tree

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// rawAllowed are the functions of the command that write to the streams below those
// that are safe for a terminal, and why.
var rawAllowed = map[string]string{
	"cmd/internal/ui.newBoard": "what it draws is made harmless in View",
	"cmd/internal/ui.newTTY":   "what it draws is made harmless in View and flush",
	"cmd/pipe.daemonCmd":       "a worker answers in a format of its own, to a pipe",
	"cmd/pipe.execAt":          "what a command in a pod writes is for the terminal of the user, as with ssh",
	"cmd/pipe.file":            "the content of a file is kept, unless a terminal shows it",
	"cmd/pipe.lspCmd":          "an editor reads it",
	"cmd/pipe.open":            "it looks at which file it is, and writes nothing",
	"cmd/pipe.repl":            "the line editor moves the cursor; what is shown is safe",
}

// TestStreams: all that the command writes goes through streams that are safe for a
// terminal. The streams of the process are in process.go only, main makes safe ones of
// them before any verb runs, and few know the ones below.
func TestStreams(t *testing.T) {
	used := map[string]bool{}
	wrapped := false
	dirs, err := filepath.Glob(filepath.Join(root, "cmd", "internal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, filepath.Join(root, "cmd", "pipe")) {
		pkg := strings.TrimPrefix(filepath.ToSlash(dir), root+"/")
		fset := token.NewFileSet()
		for _, f := range read(t, fset, pkg, false) {
			name := filepath.Base(fset.Position(f.Pos()).Filename)
			for _, decl := range f.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				at := pkg + "." + fn.Name.Name
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					switch call := called(n); {
					case call == "ui.Raw" || pkg == "cmd/internal/ui" && call == "Raw":
						used[at] = true
						if rawAllowed[at] == "" {
							t.Errorf("%s: %s writes to the stream below the safe one", fset.Position(n.Pos()), at)
						}
					case at == "cmd/pipe.main" && call == "ui.NewSafe":
						wrapped = true
					}
					if sel, ok := n.(*ast.SelectorExpr); ok && (pkg != "cmd/pipe" || name != "process.go" && name != "main.go") {
						if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && (sel.Sel.Name == "Stdout" || sel.Sel.Name == "Stderr") {
							t.Errorf("%s: %s uses os.%s", fset.Position(n.Pos()), at, sel.Sel.Name)
						}
					}
					return true
				})
			}
		}
	}
	if !wrapped {
		t.Error("main does not make safe streams")
	}
	for at := range rawAllowed {
		if !used[at] {
			t.Errorf("%s is allowed to write to the stream below the safe one, and does not", at)
		}
	}
}
