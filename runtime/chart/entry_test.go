package chart

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestEntry: values.yaml is written as sigs.k8s.io/yaml writes JSON, so that the chart of a
// service stays the same.
func TestEntry(t *testing.T) {
	for _, value := range []any{
		"", "a", "yes", "null", "0x1f", "1e3", "12:30", "2026-01-02", "<<", "a: b", "# a", "- a", " a ", "\ta", "a\nb\n", "a\r\nb", "\u2028\u00e9\U0001F600<&>", `"'\`,
		strings.Repeat("word ", 40), strings.Repeat("x", 300),
		true, 1.5, 1e21, 1000.0, -0.5, int64(-1 << 63), uint64(1<<64 - 1), json.Number("123456789012345678901234567890"),
		[]string{}, []string{"a", "8080"}, map[string]string{}, map[string]string{"b": "1", "a10": "x", "a9": "", "on": "y", "1": "z"},
		[]any{nil, 1, []any{}, map[string]any{"x": []any{map[string]any{"y": 2}}, "~": nil}},
	} {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		want, err := yaml.JSONToYAML(fmt.Appendf(nil, "{%q: %s}", "name", data))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := entry("name", value); err != nil || got != string(want) {
			t.Errorf("entry(%q) = %q, %v, want %q", value, got, err, want)
		}
	}
}
