package builtins_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

type repeatArgs struct {
	Text  string            `arg:"text" help:"a text"`
	Times int               `arg:"times,kw" default:"1" help:"how often"`
	Then  starlark.Callable `arg:"then,kw" default:"None" help:"called with the result"`
}

// repeat is a builtin that allocates as much as its arguments ask for.
var repeat = builtins.New("repeat", "str", "Returns a text several times.", func(c *builtins.Call, a *repeatArgs) (starlark.Value, error) {
	switch {
	case a.Times < 0:
		return nil, c.Errorf("times", "want 0 or more, got %d", a.Times)
	case a.Text == "":
		return nil, c.ErrorHint("", "give it a text", "there is nothing to repeat")
	case a.Text == "fail":
		return nil, errors.New("it fails")
	}
	v := starlark.String(strings.Repeat(a.Text, a.Times))
	if a.Then != nil {
		return starlark.Call(c.Thread, a.Then, starlark.Tuple{v}, nil)
	}
	if c.Given("times") {
		return v, nil
	}
	return starlark.String(c.Pos().String()), nil
})

func TestNew(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`print(repeat("ab", times = 2))`, "abab"},
		{`print(repeat("ab"))`, "Pipelinefile:2:14"},
		{`print(repeat("ab", times = 2, then = lambda s: s + "c"))`, "ababc"},
		{`repeat("ab", times = -1)`, `Pipelinefile:2:29: repeat: times: want 0 or more, got -1`},
		{`repeat("")`, "Pipelinefile:2:8: repeat: there is nothing to repeat\n    x = 1; repeat(\"\")\n           ^\n    give it a text"},
		{`repeat("fail")`, "Pipelinefile:2:8: it fails"},
		{`repeat("ab", time = 1)`, `Pipelinefile:2:21: repeat: no parameter "time"`},
		// What a host function returns counts toward the limits (L4).
		{`repeat("ab", times = 600)`, "Pipelinefile:2:8: the value would be larger than the limit of 1000 bytes"},
		{`[repeat("ab", times = 400) for _ in range(20)]`, "evaluation takes more than 10000 steps"},
	} {
		file := filepath.Join(t.TempDir(), "Pipelinefile")
		if err := os.WriteFile(file, []byte("pipeline(\"p\")\nx = 1; "+test.text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		var got string
		_, err := interp.Eval(t.Context(), file, interp.Options{
			Builtins: []*builtins.Func{repeat}, Limits: interp.Limits{Steps: 10_000, Size: 1000}, Print: func(_ plan.Pos, s string) { got = s },
		})
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s\n got %s\nwant %s", test.text, got, test.want)
		}
	}
}
