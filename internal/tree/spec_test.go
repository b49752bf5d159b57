package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	specNumber = `[A-Z][1-9][0-9]?`
	// An anchor of docs/spec.md, which the paragraph begins with.
	specAnchor = regexp.MustCompile(`(?m)^<a id="(` + specNumber + `)"></a>\*\*(` + specNumber + `)\b`)
	// A list of numbers: in parentheses, or behind the word SPEC.
	specCited = regexp.MustCompile(`(?:\(|\bSPEC )((?:§\d+|` + specNumber + `(?: to ` + specNumber + `)?)(?:(?:, | and )` + specNumber + `(?: to ` + specNumber + `)?)*)(?:\)|[,:;.]|\s|$)`)
	specOne   = regexp.MustCompile(specNumber + `|§\d+`)
	specPart  = regexp.MustCompile(`(?m)^## (\d+)\. `)
)

// contract returns the numbers of docs/spec.md, and those of its sections as §1.
func contract(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs", "spec.md"))
	if err != nil {
		t.Fatal(err)
	}
	numbers := make(map[string]bool)
	for _, m := range specAnchor.FindAllStringSubmatch(string(data), -1) {
		if m[1] != m[2] {
			t.Errorf("docs/spec.md: the anchor of %s is %s", m[2], m[1])
		}
		if numbers[m[1]] {
			t.Errorf("docs/spec.md has %s twice", m[1])
		}
		numbers[m[1]] = true
	}
	for _, m := range specPart.FindAllStringSubmatch(string(data), -1) {
		numbers["§"+m[1]] = true
	}
	if len(numbers) == 0 {
		t.Fatal("docs/spec.md has no numbers")
	}
	return numbers
}

// cited returns the numbers of the contract that a comment cites.
func cited(comment string) (numbers []string) {
	for _, m := range specCited.FindAllStringSubmatch(comment, -1) {
		numbers = append(numbers, specOne.FindAllString(m[1], -1)...)
	}
	return numbers
}

// TestSpecNumbers: every number of the contract that a comment cites is in it.
func TestSpecNumbers(t *testing.T) {
	numbers := contract(t)
	found := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".git")):
			return filepath.SkipDir
		case !strings.HasSuffix(file, ".go"):
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, group := range f.Comments {
			for _, number := range cited(commentText(group)) {
				found++
				if !numbers[number] {
					t.Errorf("%s cites %s, which docs/spec.md does not have", fset.Position(group.Pos()), number)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 100 {
		t.Errorf("%d citations were found: the test does not see those that there are", found)
	}
}

// commentText returns the words of a comment as one line.
func commentText(group *ast.CommentGroup) string {
	return strings.Join(strings.Fields(group.Text()), " ")
}

// TestCited: citations are told from the names of versions and types.
func TestCited(t *testing.T) {
	for comment, want := range map[string]string{
		"is kept (D4).":          "D4",
		"deploys (A1 to A3, E6)": "A1 A3 E6",
		"Package store keeps leases (SPEC E1, E5, A5): no": "E1 E5 A5",
		"The rules of SPEC §4 are its edges":               "§4",
		"before (SPEC D8): the objects":                    "D8",
		"reads a CoreV1 of (V1Beta1) and D4C":              "",
		"an A4 page":                                       "",
	} {
		if got := strings.Join(cited(comment), " "); got != want {
			t.Errorf("cited(%q) = %q, want %q", comment, got, want)
		}
	}
}
