package builtins

import (
	"context"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/bounded"
)

func TestHiddenSteps(t *testing.T) {
	object := func(key func(i int) string) string {
		text := "[{"
		for i := range 200 {
			text += `"` + key(i) + `": 1, `
		}
		return text + `"x": {"y": [":", "{"]}}]`
	}
	same := []string{} // strings whose hashes have the same lower bits
	for i := 0; len(same) < 200; i++ {
		s := starlark.MakeInt(i).String()
		if h, err := starlark.String(s).Hash(); err == nil && h&63 == 0 {
			same = append(same, s)
		}
	}
	escaped := func(s string) string { return `\u003` + s[:1] + s[1:] }
	for _, test := range []struct {
		name, text string
		hidden     bool
	}{
		{"numbers", object(func(i int) string { return starlark.MakeInt(i).String() }), false},
		{"one bucket", object(func(i int) string { return same[i] }), true},
		{"one bucket, escaped", object(func(i int) string { return escaped(same[i]) }), true},
		{"one bucket, spaced", strings.ReplaceAll(object(func(i int) string { return same[i] }), ":", strings.Repeat(" ", 200)+":"), true},
		{"no object", `["1", "2"]`, false},
		{"open", `{{{"a" : [`, false},
		{"closed", `}}}]"`, false},
		{"backslash", `"\`, false},
	} {
		m := bounded.NewMeter(context.Background(), new(starlark.Thread), 1<<40, 1<<20)
		if err := hidden(m, test.text); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		// A digit costs one step.
		if got := m.Steps(); got > uint64(len(test.text)) != test.hidden {
			t.Errorf("%s: %d steps for %d bytes", test.name, got, len(test.text))
		}
	}
}
