package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/pipelinefile/pipe/"

// root is the directory of the module, seen from here.
const root = "../.."

// policy returns what every package of the module may import, by its path below
// the module: packages of the module by their paths, those of others by prefix. It
// is read from the tables of docs/design.md. The standard library is free, except
// what hermetic packages may not use.
func policy(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tables, ok := strings.Cut(string(data), "\n## Packages\n")
	if !ok {
		t.Fatal("docs/design.md has no section Packages")
	}
	all := make(map[string][]string)
	for line := range strings.Lines(tables) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if name := quoted(cells[0]); strings.HasPrefix(line, "| `") && len(name) == 1 {
			if len(cells) != 4 {
				t.Fatalf("docs/design.md: the row of %s has %d cells, want 4", name[0], len(cells))
			}
			if _, twice := all[name[0]]; twice {
				t.Errorf("docs/design.md has two rows of %s", name[0])
			}
			all[name[0]] = append(quoted(cells[2]), quoted(cells[3])...)
		}
	}
	if len(all) == 0 {
		t.Fatal("docs/design.md has no table of packages")
	}
	return all
}

// quoted returns what is between backquotes.
func quoted(cell string) (all []string) {
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			all = append(all, part)
		}
	}
	return all
}

// hermetic packages, which docs/design.md names, may not reach the clock, chance, the
// network, processes or the environment: neither by these imports nor by these functions.
var (
	noImports   = []string{"net", "net/http", "os/exec", "os/signal", "math/rand", "math/rand/v2", "crypto/rand", "syscall"}
	noFunctions = []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.Tick", "os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.Getwd", "os.Hostname"}
	ownModules  = []string{"cmd/pipe-cluster", "cmd/pipe-sbom", "cmd/pipe-secrets", "cmd/pipe-sigstore", "tools"} // of which nothing here may import anything, nor they of us
)

// hermeticPackages returns the packages that docs/design.md calls hermetic.
func hermeticPackages(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if before, _, ok := strings.Cut(line, " are hermetic (L1)"); ok {
			return quoted(before)
		}
	}
	t.Fatal("docs/design.md does not say which packages are hermetic")
	return nil
}

// exempt are files of hermetic packages that may import one of noImports.
var exempt = map[string]string{
	"internal/builtins/files_unix.go": "syscall", // a constant: a file is opened without waiting for it
}

// eachSource calls visit for each Go file that is neither a test nor an example, with its
// path and its path from the root.
func eachSource(visit func(file, rel string) error) error {
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == "testdata" || rel == "examples" || rel == "bin" || strings.HasPrefix(d.Name(), ".git") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		return visit(file, rel)
	})
}

// TestImports holds the code to the policy. It reads the files of every
// operating system itself, so that a result from the test cache is never older
// than the code.
func TestImports(t *testing.T) {
	policy, hermetic := policy(t), hermeticPackages(t)
	seen, used := map[string]bool{}, map[string]map[string]bool{}
	err := eachSource(func(file, rel string) error {
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), rel, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(rel))
		if at := slices.IndexFunc(ownModules, func(m string) bool { return name == m || strings.HasPrefix(name, m+"/") }); at >= 0 {
			checkApart(t, rel, ownModules[at], f)
			return nil
		}
		if _, ok := policy[name]; !ok && !seen[name] {
			t.Errorf("package %s is not in a table of docs/design.md", name)
		}
		if !seen[name] {
			seen[name], used[name] = true, map[string]bool{}
		}
		checkFile(t, rel, name, policy[name], slices.Contains(hermetic, name), f, used[name])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range policy {
		if !seen[name] {
			t.Errorf("docs/design.md has a row of %s, which does not exist", name)
		}
		for _, granted := range policy[name] {
			if !used[name][granted] {
				t.Errorf("docs/design.md lets %s import %s, which it does not", name, granted)
			}
		}
	}
}

// checkApart reports what a module of its own imports of others here.
func checkApart(t *testing.T, file, own string, f *ast.File) {
	t.Helper()
	for _, spec := range f.Imports {
		if imp := importPath(t, spec); strings.HasPrefix(imp, module) && !strings.HasPrefix(imp, module+own+"/") {
			t.Errorf("%s: a module of its own may not import %s", file, imp)
		}
	}
}

// checkFile checks the imports of a file of the package of that name, and records which of
// the allowed ones are used.
func checkFile(t *testing.T, file, name string, allowed []string, isHermetic bool, f *ast.File, used map[string]bool) {
	t.Helper()
	for _, spec := range f.Imports {
		imp := importPath(t, spec)
		own, isOwn := strings.CutPrefix(imp, module)
		first, _, _ := strings.Cut(imp, "/")
		switch {
		case isOwn:
			if used[own] = true; !slices.Contains(allowed, own) {
				t.Errorf("%s: %s may not import %s", file, name, own)
			}
		case !strings.Contains(first, "."): // the standard library
			if isHermetic && slices.Contains(noImports, imp) && exempt[file] != imp {
				t.Errorf("%s: imports %s, but evaluation is hermetic", file, imp)
			}
		default:
			i := slices.IndexFunc(allowed, func(a string) bool { return imp == a || strings.HasPrefix(imp, a+"/") })
			if i < 0 {
				t.Errorf("%s: %s may not import %s", file, name, imp)
				continue
			}
			used[allowed[i]] = true
		}
	}
	if !isHermetic {
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(noFunctions, x.Name+"."+sel.Sel.Name) {
				t.Errorf("%s: uses %s.%s, but evaluation is hermetic", file, x.Name, sel.Sel.Name)
			}
		}
		return true
	})
}

func importPath(t *testing.T, spec *ast.ImportSpec) string {
	t.Helper()
	imp, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		t.Fatal(err)
	}
	return imp
}
