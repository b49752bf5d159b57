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
			expression := h.byEnvironment(file)
			switch {
			case placeholder.MatchString(e) && expression != "" && len(merged) == 0:
				s.chart.files = append(s.chart.files, expression)
			case placeholder.MatchString(e) || strings.HasSuffix(e, ".gotmpl"):
				s.note("the values file %s is a template and was not read: set its values in values=.", quoted(h.shown(e)))
			case err != nil:
				s.note("the values file %s could not be read.", quoted(e))
			case strings.Contains(string(data), "{{") && strings.HasSuffix(e, ".gotmpl"):
			case len(merged) > 0:
				s.note("the values file %s comes after other values in the helmfile, but here values= takes precedence over values_files=.", quoted(e))
				s.chart.files = append(s.chart.files, code(str(file)))
			default:
				s.chart.files = append(s.chart.files, code(str(file)))
			}
		case map[string]any:
			if m, ok := h.clean(s, e, "", &left).(map[string]any); ok {
				merge(merged, m)
			}
		}
	}
	for _, set := range mappings(r["set"]) {
		name, _ := set["name"].(string)
		value := set["value"]
		if text := fmt.Sprint(value); name == "" || set["value"] == nil || strings.ContainsAny(name, `[]\{`) || placeholder.MatchString(name+text) {
			left = append(left, name)
			continue
		} else if valueSecret(lastKey(name), text) {
			value = h.secret(s, name, text)
		}
		keys := strings.Split(name, ".")
		for i := len(keys) - 1; i >= 0; i-- {
			value = map[string]any{keys[i]: value}
		}
		merge(merged, value.(map[string]any))
	}
	merge(merged, h.encrypted(s, texts(r["secrets"])))
	if len(left) > 0 {
		s.note("these values are templates or look like secrets, and were left out: %s. Set them in values=, with a param(…) or secret(NAME).", all(left))
	}
	if len(merged) > 0 {
		s.values = merged
	}
}

func lastKey(name string) string { return name[strings.LastIndex(name, ".")+1:] }

// clean removes templates from values, and replaces strings that look like secrets.
func (h *helmfile) clean(s *service, v any, at string, left *[]string) any {
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
				out[k] = h.clean(s, e, where, left)
			default:
				text := fmt.Sprint(e)
				switch {
				case placeholder.MatchString(text):
					*left = append(*left, where)
				case e != nil && valueSecret(k, text):
					out[k] = h.secret(s, where, text)
				default:
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
			out = append(out, h.clean(s, e, where, left))
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

// chart writes the chart of a release.
func (w *writer) chart(c *chart) {
	if c == nil {
		return
	}
	if c.unpinned {
		w.comment("    ", "lint: ignore unpinned-chart: the helmfile names no version")
	}
	text := "chart(" + str(c.ref)
	if c.repo != "" {
		text += ", repo = " + str(c.repo)
	}
	if c.version != "" {
		text += ", version = " + str(c.version)
	}
	if len(c.files) > 0 {
		text += ", values_files = " + valuesFiles(c.files)
	}
	w.arg("chart", text+")")
}

// valuesFiles formats a list of strings and lists.
func valuesFiles(files []code) string {
	var parts []string
	for i, file := range files {
		switch last := len(parts) - 1; {
		case !strings.HasPrefix(string(file), `"`):
			parts = append(parts, string(file))
		case i > 0 && strings.HasSuffix(parts[last], "]"):
			parts[last] = strings.TrimSuffix(parts[last], "]") + ", " + string(file) + "]"
		default:
			parts = append(parts, "["+string(file)+"]")
		}
	}
	return strings.Join(parts, " + ")
}
