package builtins

import (
	"strings"

	"go.starlark.net/syntax"
)

// Docstring returns the string at the start of the body of a function or a module,
// without its indentation, or "" if the body starts with another statement.
func Docstring(body []syntax.Stmt) string {
	if len(body) == 0 {
		return ""
	}
	x, ok := body[0].(*syntax.ExprStmt)
	if !ok {
		return ""
	}
	lit, ok := x.X.(*syntax.Literal)
	if !ok || lit.Token != syntax.STRING {
		return ""
	}
	value, _ := lit.Value.(string)
	first, rest, _ := strings.Cut(value, "\n")
	lines := strings.Split(rest, "\n")
	depth := len(value)
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \r")
		if trimmed := strings.TrimLeft(lines[i], " "); trimmed != "" {
			depth = min(depth, len(lines[i])-len(trimmed))
		}
	}
	for i, l := range lines {
		lines[i] = l[min(depth, len(l)):]
	}
	return strings.TrimSpace(strings.TrimRight(first, " \r") + "\n" + strings.Join(lines, "\n"))
}
