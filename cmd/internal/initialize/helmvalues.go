package initialize

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// values merges the values of a release: files that can be read without executing
// templates, and maps.
func (h *helmfile) values(s *service, r map[string]any) {
	list, _ := r["values"].([]any)
	merged := map[string]any{}
	var left []string
	for _, e := range list {
		switch e := e.(type) {
		case string:
			file := path.Join(h.base, e)
			data, err := h.text(file)
			switch {
			case placeholder.MatchString(e) || strings.HasSuffix(e, ".gotmpl"):
				s.note("the values file %s is a template and was not read: set its values in values=.", quoted(h.shown(e)))
			case err != nil:
				s.note("the values file %s could not be read.", quoted(e))
			case strings.Contains(string(data), "{{") && strings.HasSuffix(e, ".gotmpl"):
			case len(merged) > 0:
				s.note("the values file %s comes after other values in the helmfile, but here values= takes precedence over values_files=.", quoted(e))
				s.chart.files = append(s.chart.files, file)
			default:
				s.chart.files = append(s.chart.files, file)
			}
		case map[string]any:
			if m, ok := h.clean(e, "", &left).(map[string]any); ok {
				merge(merged, m)
			}
		}
	}
	for _, set := range mappings(r["set"]) {
		name, _ := set["name"].(string)
		value := set["value"]
		if text := fmt.Sprint(value); name == "" || set["value"] == nil || strings.ContainsAny(name, `[]\{`) || placeholder.MatchString(name+text) || looksSecret(lastKey(name), text) {
			left = append(left, name)
			continue
		}
		keys := strings.Split(name, ".")
		for i := len(keys) - 1; i >= 0; i-- {
			value = map[string]any{keys[i]: value}
		}
		merge(merged, value.(map[string]any))
	}
	if len(left) > 0 {
		s.note("these values are templates or look like secrets, and were left out: %s. Set them in values=, with a param(…) or secret(NAME).", all(left))
	}
	if len(merged) > 0 {
		s.values = merged
	}
}

func lastKey(name string) string { return name[strings.LastIndex(name, ".")+1:] }

// clean removes templates, and strings that look like secrets, from values.
func (h *helmfile) clean(v any, at string, left *[]string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			where := strings.TrimPrefix(at+"."+k, ".")
			if placeholder.MatchString(k) {
				*left = append(*left, h.shown(where))
				continue
			}
			switch e := v[k].(type) {
			case map[string]any, []any:
				out[k] = h.clean(e, where, left)
			default:
				text := fmt.Sprint(e)
				if placeholder.MatchString(text) || e != nil && looksSecret(k, text) || strings.HasPrefix(text, "ref+") {
					*left = append(*left, where)
				} else {
					out[k] = e
				}
			}
		}
		return out
	case []any:
		out := []any{}
		for i, e := range v {
			where := fmt.Sprintf("%s[%d]", at, i)
			if text, ok := e.(string); ok && (placeholder.MatchString(text) || hasSecret(text)) {
				*left = append(*left, where)
				continue
			}
			if m, ok := e.(map[string]any); ok { // a variable in the form that charts use
				if name, _ := m["name"].(string); name != "" && m["value"] != nil && looksSecret(name, fmt.Sprint(m["value"])) {
					*left = append(*left, where+" ("+name+")")
					continue
				}
			}
			out = append(out, h.clean(e, where, left))
		}
		return out
	}
	return v
}

// merge merges values into others, key by key.
func merge(into, from map[string]any) {
	for k, v := range from {
		a, isMap := into[k].(map[string]any)
		b, both := v.(map[string]any)
		if isMap && both {
			merge(a, b)
			continue
		}
		into[k] = v
	}
}
