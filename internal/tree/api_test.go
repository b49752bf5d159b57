package tree

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// embedded are the packages that a host program evaluates with.
var embedded = []string{"plan", "builtins", "interp"}

// read parses the Go files of a package of the module, with its tests or without.
func read(t *testing.T, fset *token.FileSet, pkg string, tests bool) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pkg), "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("package %s: %v, %d files", pkg, err, len(names))
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") && !tests {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(fset, name, src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// TestExamples: each exported function and type of the embedded packages has an
// example that runs (G1). That of a type may be one of its methods or of what
// makes it.
func TestExamples(t *testing.T) {
	for _, pkg := range embedded {
		fset := token.NewFileSet()
		p, err := doc.NewFromFiles(fset, read(t, fset, pkg, true), module+pkg)
		if err != nil {
			t.Fatal(err)
		}
		has := func(name string, all []*doc.Example) bool {
			for _, e := range all {
				if e.Output == "" && !e.EmptyOutput {
					t.Errorf("%s: the example of %s is not run: it has no // Output:", pkg, name)
				}
			}
			return len(all) > 0
		}
		funcs := p.Funcs
		for _, typ := range p.Types {
			shown := has(typ.Name, typ.Examples)
			for _, f := range append(slices.Clone(typ.Methods), typ.Funcs...) {
				shown = has(f.Name, f.Examples) || shown
			}
			if !shown {
				t.Errorf("type %s.%s has no example", pkg, typ.Name)
			}
			funcs = append(funcs, typ.Funcs...)
		}
		for _, f := range funcs {
			if !has(f.Name, f.Examples) {
				t.Errorf("func %s.%s has no example", pkg, f.Name)
			}
		}
	}
}

// TestDocumented: each name that an embedding program can use has a comment, that
// of a type or a function begins with it. The methods of errors and events that
// say only what they are for Go need none.
func TestDocumented(t *testing.T) {
	for pkg := range policy(t) {
		if isInternal(pkg) {
			continue
		}
		fset := token.NewFileSet()
		p, err := doc.NewFromFiles(fset, read(t, fset, pkg, false), module+pkg)
		if err != nil {
			t.Fatal(err)
		}
		want := func(name, text string) {
			words := strings.Fields(text)
			for len(words) > 0 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
				words = words[1:]
			}
			if len(words) == 0 || strings.Trim(words[0], ",:'s") != strings.Trim(name, "s") {
				t.Errorf("%s.%s: the comment is %.40q, want a sentence that begins with the name", pkg, name, text)
			}
		}
		funcs := p.Funcs
		for _, typ := range p.Types {
			want(typ.Name, typ.Doc)
			funcs = append(append(funcs, typ.Funcs...), typ.Methods...)
			for _, group := range append(slices.Clone(typ.Consts), typ.Vars...) {
				if group.Doc == "" {
					t.Errorf("%s.%s: no comment", pkg, group.Names[0])
				}
			}
		}
		for _, f := range funcs {
			if f.Doc != "" || f.Recv == "" || !slices.Contains([]string{"Error", "Unwrap", "Kind"}, f.Name) {
				want(f.Name, f.Doc)
			}
		}
		for _, group := range append(slices.Clone(p.Consts), p.Vars...) {
			if group.Doc == "" {
				t.Errorf("%s.%s: no comment", pkg, group.Names[0])
			}
		}
	}
}
