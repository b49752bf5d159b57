package initialize

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/syntax"
)

// named formats keyword arguments with string values.
func named(args []pair) string {
	var out []string
	for _, a := range args {
		out = append(out, a.name+" = "+str(a.value))
	}
	return strings.Join(out, ", ")
}

func str(text string) string { return syntax.Quote(strings.ToValidUTF8(text, "\ufffd"), false) }

func strs(texts []string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = str(t)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// code is an expression, which literal writes as it is.
type code string

// literal formats a YAML value as a Starlark literal, with sorted keys.
func literal(v any, indent string) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return str(v)
	case code:
		return string(v)
	case map[string]any:
		if len(v) == 0 {
			return "{}"
		}
		var b strings.Builder
		b.WriteString("{\n")
		for _, k := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(&b, "%s    %s: %s,\n", indent, str(k), literal(v[k], indent+"    "))
		}
		return b.String() + indent + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		var out []string
		many := false
		for _, e := range v {
			t := literal(e, indent+"    ")
			many = many || strings.Contains(t, "\n")
			out = append(out, t)
		}
		if text := "[" + strings.Join(out, ", ") + "]"; !many && len(text) < width {
			return text
		}
		return "[\n" + indent + "    " + strings.Join(out, ",\n"+indent+"    ") + ",\n" + indent + "]"
	}
	if f, ok := v.(float64); ok {
		return number(f)
	}
	return fmt.Sprint(v)
}

// number formats a float in the syntax of Starlark.
func number(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return str(fmt.Sprint(f))
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

func quotedAll(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = quoted(t)
	}
	return out
}
