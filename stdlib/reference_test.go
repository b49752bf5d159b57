package stdlib_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/stdlib"
)

var update = flag.Bool("update", false, "rewrite the generated files")

// TestGenerateReference compares reference.md with the docstrings of the modules (L8).
func TestGenerateReference(t *testing.T) {
	want := reference(t)
	if *update {
		if err := os.WriteFile("reference.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile("reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("reference.md is out of date; run: make generate\n-modules +file\n%s", diff)
	}
}

func reference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# The standard library\n\nGenerated from the modules by `make generate`; do not edit.\n")
	names, err := fs.Glob(stdlib.FS, "*.star")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(stdlib.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := (&syntax.FileOptions{}).Parse(name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		about, example, _ := strings.Cut(docstring(tree.Stmts), "\n\n")
		fmt.Fprintf(&b, "\n## @std//%s\n\n%s\n\n```python\n%s\n```\n", name, about, undent(example))
		for _, stmt := range tree.Stmts {
			if def, ok := stmt.(*syntax.DefStmt); ok && !strings.HasPrefix(def.Name.Name, "_") {
				function(&b, string(text), def)
			}
		}
	}
	return b.String()
}

// function writes the section of a function: its signature as in the module, and its
// docstring with the arguments as a list.
func function(b *strings.Builder, text string, def *syntax.DefStmt) {
	line := strings.Split(text, "\n")[def.Def.Line-1]
	signature := strings.TrimSuffix(strings.TrimPrefix(line, "def "), ":")
	fmt.Fprintf(b, "\n### %s\n\n```text\n%s\n```\n\n", def.Name.Name, signature)
	for line := range strings.Lines(docstring(def.Body)) {
		line = strings.TrimSpace(line)
		switch name, help, ok := strings.Cut(line, ": "); {
		case line == "Args:":
		case line == "Returns:":
			b.WriteString("Returns: ")
		case ok && isName(name):
			fmt.Fprintf(b, "- `%s`: %s\n", name, help)
		default:
			b.WriteString(line + "\n")
		}
	}
}

func isName(s string) bool {
	return !strings.ContainsAny(s, " .") && s != ""
}

func docstring(stmts []syntax.Stmt) string {
	if x, ok := stmts[0].(*syntax.ExprStmt); ok {
		if lit, ok := x.X.(*syntax.Literal); ok {
			text, _ := lit.Value.(string)
			return strings.TrimSpace(text)
		}
	}
	return ""
}

func undent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "    ")
	}
	return strings.Join(lines, "\n")
}
