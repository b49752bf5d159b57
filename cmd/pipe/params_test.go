package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParamsFile: the values of a parameter file are the same as with --set: a scalar is
// taken as it is written.
func TestParamsFile(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want map[string]string
		err  string
	}{
		"numbers": {
			text: "version: 1.10\nzip: 0123\nlarge: 123456789012345678901234567890\nbuild: 20190612073634\nbeyond: 9007199254740993\nexponent: 1e3\nhex: 0x1F\nfloat: 1.0\n",
			want: map[string]string{
				"version": "1.10", "zip": "0123", "large": "123456789012345678901234567890", "build": "20190612073634", "beyond": "9007199254740993",
				"exponent": "1e3", "hex": "0x1F", "float": "1.0",
			},
		},
		"words":      {"a: no\nb: true\nc: 2024-01-02\nd: plain text\n", map[string]string{"a": "no", "b": "true", "c": "2024-01-02", "d": "plain text"}, ""},
		"quotes":     {"a: \"1e3\"\nb: 'no'\nc: \"\"\nd: |\n  x\n  y\n", map[string]string{"a": "1e3", "b": "no", "c": "", "d": "x\ny\n"}, ""},
		"JSON":       {`{"a": 1.10, "b": "x", "c": 9007199254740993}`, map[string]string{"a": "1.10", "b": "x", "c": "9007199254740993"}, ""},
		"alias":      {"a: &x 007\nb: *x\n", map[string]string{"a": "007", "b": "007"}, ""},
		"list":       {"a: [1, x]\nb: {c: 9007199254740993}\n", map[string]string{"a": `[1,"x"]`, "b": `{"c":9007199254740993}`}, ""},
		"empty file": {"# nothing\n", map[string]string{}, ""},
		"null":       {"a: 1\nb:\n", nil, `b has no value: write "" for an empty string`},
		"twice":      {"a: 1\na: 2\n", nil, `mapping key "a" already defined at line 1`},
		"not a map":  {"- a\n", nil, "it must contain a map of parameter names to values"},
		"not YAML":   {"a: [\n", nil, "yaml: line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(test.text), 0o666); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			err := (&app{}).readParams(file, got)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("readParams = %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("readParams: -want +got\n%s", diff)
			}
		})
	}
}
