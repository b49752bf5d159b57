package interp_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/stdlib"
)

// TestStdlib: every module of @std is embedded, says what it is for, describes
// each function and each parameter, and has a test in the language.
func TestStdlib(t *testing.T) {
	files, err := filepath.Glob("../stdlib/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			if strings.HasSuffix(name, "_test.star") {
				runTestFile(t, name, text)
				return
			}
			if _, err := fs.Stat(stdlib.FS, name); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(strings.TrimSuffix(file, ".star") + "_test.star"); err != nil {
				t.Error(err)
			}
			described(t, name, text)
		})
	}
}

func runTestFile(t *testing.T, name string, text []byte) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/files")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := interp.Eval(t.Context(), file, interp.Options{Root: dir, Builtins: []*builtins.Func{eq(t)}}); err != nil {
		t.Error(err)
	}
}

func described(t *testing.T, name string, text []byte) {
	t.Helper()
	tree, err := (&syntax.FileOptions{}).Parse(name, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	if doc(tree.Stmts) == "" {
		t.Errorf("%s does not say what it is for", name)
	}
	for _, s := range tree.Stmts {
		def, ok := s.(*syntax.DefStmt)
		if !ok {
			continue
		}
		help := doc(def.Body)
		if help == "" {
			t.Errorf("%s: %s has no docstring", name, def.Name.Name)
		}
		if strings.HasPrefix(def.Name.Name, "_") {
			continue
		}
		for _, param := range builtins.NewSource(name, true, text, tree).Params(def.Name.Name) {
			if !strings.Contains(help, "\n      "+param+": ") {
				t.Errorf("%s: %s does not describe %s", name, def.Name.Name, param)
			}
		}
	}
}

// doc returns the text that stands first in a block.
func doc(stmts []syntax.Stmt) string {
	if len(stmts) > 0 {
		if x, ok := stmts[0].(*syntax.ExprStmt); ok {
			if lit, ok := x.X.(*syntax.Literal); ok {
				text, _ := lit.Value.(string)
				return text
			}
		}
	}
	return ""
}
