package lsp_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/builtins"
)

const extension = "../../examples/vscode/"

// A rule is a rule of a TextMate grammar. It has the keys that our grammar uses.
type rule struct {
	Include, Name, Match, Begin, End     string
	Captures, BeginCaptures, EndCaptures map[string]struct{ Name string }
	Patterns                             []rule
	Repository                           map[string]rule
}

// A grammar highlights source as an editor does: the leftmost match wins, then
// the first rule in the list. A begin rule applies until its end matches.
type grammar struct {
	t       *testing.T
	top     rule
	regexps map[string]*regexp.Regexp
	open    []rule
}

func loadGrammar(t *testing.T) *grammar {
	t.Helper()
	data, err := os.ReadFile(extension + "syntaxes/pipelinefile.tmLanguage.json")
	if err != nil {
		t.Fatal(err)
	}
	g := &grammar{t: t, regexps: map[string]*regexp.Regexp{}}
	if err := json.Unmarshal(data, &g.top); err != nil {
		t.Fatal(err)
	}
	return g
}

// find returns where re matches in line at or after pos.
func (g *grammar) find(re, line string, pos int) []int {
	key := fmt.Sprintf(`^(?s:.{%d}.*?)(?:%s)`, pos, re)
	c := g.regexps[key]
	if c == nil {
		var err error
		if c, err = regexp.Compile(`(?m)` + key); err != nil {
			g.t.Fatalf("%s: %v", re, err)
		}
		g.regexps[key] = c
	}
	at := c.FindStringSubmatchIndex(line)
	if at == nil {
		return nil
	}
	// The skipped prefix is not part of the match. Find the shortest prefix: the
	// match starts where it ends.
	for start := pos; start <= at[1]; start++ {
		exact := fmt.Sprintf(`^(?s:.{%d})(?:%s)`, start, re)
		e := g.regexps[exact]
		if e == nil {
			e = regexp.MustCompile(`(?m)` + exact)
			g.regexps[exact] = e
		}
		if at := e.FindStringSubmatchIndex(line); at != nil {
			at[0] = start
			return at
		}
	}
	return nil
}

// flat returns the rules of a list with the includes resolved.
func (g *grammar) flat(list []rule) []rule {
	var out []rule
	for _, r := range list {
		switch {
		case r.Include != "":
			named, ok := g.top.Repository[strings.TrimPrefix(r.Include, "#")]
			if !ok {
				g.t.Fatalf("the grammar includes %s, which does not exist", r.Include)
			}
			out = append(out, g.flat([]rule{named})...)
		case r.Match == "" && r.Begin == "":
			out = append(out, g.flat(r.Patterns)...)
		default:
			out = append(out, r)
		}
	}
	return out
}

// line returns the scopes of each column.
func (g *grammar) line(line string) [][]string {
	scopes := make([][]string, len(line)+1)
	paint := func(start, end int, name string) {
		for i := start; name != "" && i < end; i++ {
			scopes[i] = append(scopes[i], name)
		}
	}
	captures := func(at []int, names map[string]struct{ Name string }) {
		for n := 1; n < len(at)/2; n++ {
			if at[2*n] >= 0 {
				paint(at[2*n], at[2*n+1], names[fmt.Sprint(n)].Name)
			}
		}
	}
	for pos := 0; ; {
		rules, end := g.flat(g.top.Patterns), []int(nil)
		if n := len(g.open); n > 0 {
			rules, end = g.flat(g.open[n-1].Patterns), g.find(g.open[n-1].End, line, pos)
		}
		best, first := end, rule{}
		for _, r := range rules {
			if at := g.find(r.Match+r.Begin, line, pos); at != nil && (best == nil || at[0] < best[0]) {
				best, first = at, r
			}
		}
		until := len(line)
		if best != nil {
			until = best[0]
		}
		for _, r := range g.open {
			paint(pos, until, r.Name)
		}
		if best == nil {
			return scopes
		}
		switch {
		case first.Begin != "":
			g.open = append(g.open, first)
			for _, r := range g.open {
				paint(best[0], best[1], r.Name)
			}
			captures(best, first.BeginCaptures)
		case first.Match != "":
			for _, r := range g.open {
				paint(best[0], best[1], r.Name)
			}
			paint(best[0], best[1], first.Name)
			captures(best, first.Captures)
		default:
			for _, r := range g.open {
				paint(best[0], best[1], r.Name)
			}
			captures(best, g.open[len(g.open)-1].EndCaptures)
			g.open = g.open[:len(g.open)-1]
		}
		if best[1] == pos && first.Begin == "" && first.Match != "" {
			g.t.Fatalf("the grammar makes no progress at %q", line[pos:])
		}
		if pos = best[1]; pos >= len(line) && len(g.open) == 0 {
			return scopes
		}
	}
}

// TestGrammar checks the highlighting against the claims in the test file of the
// extension. "npm test" in the extension compares them with the engine of VS Code.
func TestGrammar(t *testing.T) {
	data, err := os.ReadFile(extension + "test/grammar.Pipelinefile")
	if err != nil {
		t.Fatal(err)
	}
	g := loadGrammar(t)
	claim := regexp.MustCompile(`^#( *)(\^+|<---) ([\w.-]+)$`)
	claims := 0
	var scopes [][]string
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		m := claim.FindStringSubmatch(line)
		if m == nil {
			scopes = g.line(line)
			continue
		}
		claims++
		start, end := len(m[1])+1, len(m[1])+1+len(m[2])
		if m[2] == "<---" {
			start, end = 0, 1
		}
		for col := start; col < end; col++ {
			if !slices.ContainsFunc(scopes[col], func(s string) bool { return strings.HasPrefix(s, m[3]) }) {
				t.Errorf("line %d, column %d: %v, want %s", i+1, col, scopes[col], m[3])
			}
		}
	}
	if claims < 50 {
		t.Errorf("%d claims, want more", claims)
	}
}

// TestGrammarBuiltins checks that the grammar lists all builtins (L8). It
// includes those of test files, because a grammar does not see the file's name.
func TestGrammarBuiltins(t *testing.T) {
	var want []string
	for _, f := range builtins.Available(builtins.TestSuffix) {
		if !strings.Contains(f.Name, ".") {
			want = append(want, f.Name)
		}
	}
	for name, v := range starlark.Universe {
		if _, ok := v.(*starlark.Builtin); ok {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	list := loadGrammar(t).top.Repository["call"].Patterns[0].Match
	got := strings.Split(strings.TrimSuffix(strings.TrimPrefix(list, `\b(`), `)\b\s*(\()`), "|")
	diff(t, "builtins in "+extension+"syntaxes/pipelinefile.tmLanguage.json", want, got)
}
