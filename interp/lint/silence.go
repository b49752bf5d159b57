package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pipelinefile/pipe/plan"
)

// ignore matches the comment that silences a rule for its own line or, if it is
// alone on its line, for the next one.
var ignore = regexp.MustCompile(`#\s*lint:\s*ignore\b\s*([a-z-]*)\s*(?::\s*(.*?))?\s*$`)

// Silence returns the findings of one file that its comments do not silence,
// and a finding for each such comment that has no reason or silences nothing.
// planned says that the findings include those of a plan; otherwise a comment
// about a rule of plans is not known to be unused.
func Silence(name string, src []byte, findings []Finding, planned bool) []Finding {
	t := newText(src)
	comments := map[int]comment{} // by line
	for i, line := range t.lines {
		if c, ok := commentIn(line); ok {
			comments[i+1] = c
		}
	}
	used := map[int]bool{}
	var out []Finding
	for _, f := range findings {
		if n := silencer(comments, f); n > 0 {
			used[n] = true
			continue
		}
		out = append(out, f)
	}
	for _, n := range slices.Sorted(maps.Keys(comments)) {
		c := comments[n]
		f := Finding{Rule: "silenced", Pos: plan.Pos{File: name, Line: n, Col: c.col}, Line: t.shown(n)}
		known := slices.ContainsFunc(rules, func(r Rule) bool { return r.Name == c.rule })
		switch {
		case !known:
			f.Message, f.Hint = fmt.Sprintf("no rule %q", c.rule), "write # lint: ignore RULE: reason; docs/lint.md lists the rules"
		case c.reason == "":
			f.Message, f.Hint = "missing reason for silencing "+c.rule, "write # lint: ignore "+c.rule+": reason"
		case !used[n] && (planned || !slices.Contains(ofPlan, c.rule)):
			f.Message, f.Hint = "no finding of "+c.rule+" to silence", "remove it: pipe lint --fix"
			f.Fix = t.without(f.Pos)
		default:
			continue
		}
		out = append(out, f)
	}
	Sort(out)
	return out
}

// A comment silences a rule.
type comment struct {
	rule, reason string
	col          int  // start, in characters
	alone        bool // on its line
}

// commentIn returns the comment on a line that silences a rule.
func commentIn(line string) (c comment, ok bool) {
	if !strings.Contains(line, "lint:") { // faster than the regexp
		return c, false
	}
	line = strings.TrimRight(line, "\r\n")
	m := ignore.FindStringSubmatchIndex(line)
	if m == nil {
		return c, false
	}
	group := func(i int) string {
		if m[2*i] < 0 {
			return ""
		}
		return line[m[2*i]:m[2*i+1]]
	}
	return comment{group(1), group(2), utf8.RuneCountInString(line[:m[0]]) + 1, strings.HasPrefix(strings.TrimSpace(line), "#")}, true
}

// silencer returns the line of the comment that silences f, or 0.
func silencer(comments map[int]comment, f Finding) int {
	for _, n := range []int{f.Pos.Line, f.Pos.Line - 1} {
		c, ok := comments[n]
		if ok && (n == f.Pos.Line || c.alone) && c.rule == f.Rule && c.reason != "" {
			return n
		}
	}
	return 0
}
