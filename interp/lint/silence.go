package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// ignore is the comment that silences a rule for its own line, or, where it
// stands alone, for the next one.
var ignore = regexp.MustCompile(`#\s*lint:\s*ignore\b\s*([a-z-]*)\s*(?::\s*(.*?))?\s*$`)

// Silence returns the findings of one file that its comments do not silence,
// and a finding for each such comment that has no reason or silences nothing.
// planned says that findings are also those of a plan: otherwise nobody knows
// what a comment about what only a plan shows silences.
func Silence(name string, src []byte, findings []Finding, planned bool) []Finding {
	t := newText(src)
	used := map[int]bool{}
	var out []Finding
	for _, f := range findings {
		if n := silencer(t, f); n > 0 {
			used[n] = true
			continue
		}
		out = append(out, f)
	}
	for i := range t {
		m := ignore.FindStringSubmatchIndex(t.line(i + 1))
		if m == nil {
			continue
		}
		rule, reason := ignored(t.line(i + 1))
		f := Finding{Rule: "silenced", Pos: plan.Pos{File: name, Line: i + 1, Col: len([]rune(t.line(i + 1)[:m[0]])) + 1}, Line: t.shown(i + 1)}
		known := slices.ContainsFunc(rules, func(r Rule) bool { return r.Name == rule })
		switch {
		case !known:
			f.Message, f.Hint = fmt.Sprintf("there is no rule %q", rule), "write # lint: ignore RULE: reason; docs/lint.md lists the rules"
		case reason == "":
			f.Message, f.Hint = "no reason is given for silencing "+rule, "write # lint: ignore "+rule+": reason"
		case !used[i+1] && (planned || !slices.Contains(ofPlan, rule)):
			f.Message, f.Hint = "there is no finding of "+rule+" to silence", "remove it: pipe lint --fix"
			f.Fix = t.without(f.Pos)
		default:
			continue
		}
		out = append(out, f)
	}
	Sort(out)
	return out
}

// ignored returns the rule and the reason of the comment in a line.
func ignored(line string) (rule, reason string) {
	m := ignore.FindStringSubmatch(line)
	if m == nil {
		return "", ""
	}
	return m[1], m[2]
}

// silencer returns the line that silences f, or 0.
func silencer(t text, f Finding) int {
	for _, n := range []int{f.Pos.Line, f.Pos.Line - 1} {
		line := t.line(n)
		if n != f.Pos.Line && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if rule, reason := ignored(line); rule == f.Rule && reason != "" {
			return n
		}
	}
	return 0
}
