package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// avoided are words of the right column of the table in CONTRIBUTING.md, section Words,
// that are wrong wherever they stand.
var avoided = regexp.MustCompile(`(?i)\b(folders?|anew|at once|in the place of)\b`)

// TestGlossary: neither messages nor pages use the words that CONTRIBUTING.md avoids.
// internal/explain is exempt: it has the words of other tools and languages.
func TestGlossary(t *testing.T) {
	err := eachSource(func(file, rel string) error {
		apart := slices.ContainsFunc(ownModules, func(m string) bool { return strings.HasPrefix(rel, m+"/") })
		if apart || strings.HasPrefix(rel, "internal/explain/") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				return true
			}
			if word := avoided.FindString(text); word != "" && strings.Contains(text, " ") { // a sentence
				t.Errorf("%s:%d: %q is not a word of ours: see CONTRIBUTING.md", rel, fset.Position(lit.Pos()).Line, word)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	howto, err := filepath.Glob(filepath.Join(root, "docs", "howto", "*.md"))
	if err != nil || len(howto) == 0 {
		t.Fatal(howto, err)
	}
	for _, page := range slices.Concat(pages, howto, []string{filepath.Join(root, "README.md")}) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			if word := avoided.FindString(line); word != "" {
				t.Errorf("%s:%d: %q is not a word of ours: see CONTRIBUTING.md", page, n, word)
			}
		}
	}
}
