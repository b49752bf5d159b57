package stdlib_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/suite"
	"github.com/pipelinefile/pipe/stdlib"
)

// TestModules checks that every module is embedded, that it, its functions and their
// parameters are documented, and that it has a test file.
func TestModules(t *testing.T) {
	for _, file := range glob(t, "*.star") {
		if strings.HasSuffix(file, builtins.TestSuffix) {
			continue
		}
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Stat(stdlib.FS, file); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(strings.TrimSuffix(file, ".star") + builtins.TestSuffix); err != nil {
				t.Error(err)
			}
			described(t, file, text)
		})
	}
}

// TestSuite runs the tests of the modules, as "pipe test stdlib" does.
func TestSuite(t *testing.T) {
	err := suite.Check(t.Context(), glob(t, "*"+builtins.TestSuffix), suite.Options{Eval: interp.Options{Root: "."}})
	if err != nil {
		t.Error(err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v", files, err)
	}
	return files
}

func described(t *testing.T, name string, text []byte) {
	t.Helper()
	tree, err := (&syntax.FileOptions{}).Parse(name, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	if docstring(tree.Stmts) == "" {
		t.Errorf("%s has no docstring", name)
	}
	for _, s := range tree.Stmts {
		def, ok := s.(*syntax.DefStmt)
		if !ok {
			continue
		}
		help := docstring(def.Body)
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
