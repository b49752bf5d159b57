package chart

import (
	"maps"
	"slices"
	"strconv"
)

// A Fill is a value of a chart that is not in the plan: see plan.Filled.
type Fill struct {
	Path  []string
	Value string
}

// fillIn sets the fills in values, which it may change.
func fillIn(values map[string]any, fills []Fill) map[string]any {
	for _, f := range fills {
		values, _ = set(values, f.Path, f.Value).(map[string]any)
	}
	return values
}

// set returns v with the value at path, and with the dicts that are missing on the path.
func set(v any, path []string, value string) any {
	if len(path) == 0 {
		return value
	}
	if list, ok := v.([]any); ok {
		if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(list) {
			list = slices.Clone(list)
			list[i] = set(list[i], path[1:], value)
		}
		return list
	}
	m, _ := v.(map[string]any)
	if m = maps.Clone(m); m == nil {
		m = make(map[string]any)
	}
	m[path[0]] = set(m[path[0]], path[1:], value)
	return m
}

// At returns the strings at the paths of the fills in values.
func At(values map[string]any, fills []Fill) []string {
	var out []string
	for _, f := range fills {
		var v any = values
		for _, key := range f.Path {
			switch in := v.(type) {
			case map[string]any:
				v = in[key]
			case []any:
				v = nil
				if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(in) {
					v = in[i]
				}
			default:
				v = nil
			}
		}
		if text, ok := v.(string); ok {
			out = append(out, text)
		}
	}
	return out
}
