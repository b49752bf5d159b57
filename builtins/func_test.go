package builtins_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	impl "github.com/pipelinefile/pipe/internal/builtins"
)

type common struct {
	Late bool `arg:"late,kw" default:"True" help:"late"`
}

type everything struct {
	Name  string            `arg:"name" help:"text"`
	Count int               `arg:"count" default:"3" help:"a number"`
	Rest  []string          `arg:"*rest" help:"the others"`
	Ratio float64           `arg:"ratio" default:"0.5" help:"a number"`
	Level *int              `arg:"level,kw" default:"None" help:"a number or none"`
	List  []string          `arg:"list,kw" default:"[]" help:"texts"`
	Dict  map[string]string `arg:"dict,kw" default:"{}" help:"texts by name"`
	Any   starlark.Value    `arg:"any,kw" default:"None" help:"anything"`
	Stage *impl.Stage       `arg:"stage,kw" default:"None" help:"a stage"`
	Ports []*impl.Port      `arg:"ports,kw" default:"[]" help:"ports"`
	Call  starlark.Callable `arg:"call,kw" default:"None" help:"a function"`
	common
}

// call calls f in a new session and returns the result and what was reported.
func call(t *testing.T, f *builtins.Func, expr string) string {
	t.Helper()
	s := impl.NewSession(nil)
	tree, err := (&syntax.FileOptions{}).Parse("t.star", "x = "+expr, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.AddSource(impl.NewSource("t.star", false, []byte("x = "+expr), tree))
	env := s.Predeclared([]*builtins.Func{f})
	prog, err := starlark.FileProgram(tree, env.Has)
	if err != nil {
		t.Fatal(err)
	}
	globals, err := prog.Init(&starlark.Thread{}, env)
	var out []string
	for _, d := range s.Errors() {
		out = append(out, fmt.Sprintf("%d: %s", d.Pos.Col, d.Message))
		if d.Hint != "" {
			out[len(out)-1] += "; " + d.Hint
		}
	}
	if err != nil && !errors.Is(err, builtins.ErrReported) {
		out = append(out, err.Error())
	}
	if err == nil {
		x, _ := starlark.AsString(globals["x"])
		out = append(out, x)
	}
	return strings.Join(out, " | ")
}

func TestArguments(t *testing.T) {
	f := builtins.New("f", "str", "Tests.", func(c *builtins.Call, a *everything) (starlark.Value, error) {
		if a.Name == "wrong" {
			return nil, c.Errorf("name", "is %q", a.Name)
		}
		level := "none"
		if a.Level != nil {
			level = fmt.Sprint(*a.Level)
		}
		if c.Pos().Line != 1 {
			t.Errorf("Pos() = %v", c.Pos())
		}
		return starlark.String(fmt.Sprintln(a.Name, a.Count, a.Rest, a.Ratio, level, a.List, a.Dict, a.Any, a.Stage, a.Ports, a.Call != nil, a.Late, c.Given("count"))), nil
	})
	const want = `f(name, count=3, *rest, ratio=0.5, level=None, list=[], dict={}, any=None, stage=None, ports=[], call=None, late=True)`
	if got := f.Signature(); got != want {
		t.Errorf("Signature() = %s\nwant %s", got, want)
	}
	for _, test := range []struct{ expr, want string }{
		{`f("a")`, "a 3 [] 0.5 none [] map[] <nil> <nil> [] false true false\n"},
		{`f("a", 4, "b", "c", ratio = 2, level = 0)`, "a 4 [b c] 2 0 [] map[] <nil> <nil> [] false true true\n"},
		{`f("a", level = None, any = None, stage = None, call = None)`, "a 3 [] 0.5 none [] map[] <nil> <nil> [] false true false\n"},
		{`f("a", list = ("x", "y"), dict = {"k": 1, "b": True}, any = [1], late = False)`, "a 3 [] 0.5 none [x y] map[b:true k:1] [1] <nil> [] false false false\n"},
		{`f("a", ports = [port(80)], call = len, stage = stage("s"))`, "a 3 [] 0.5 none [] map[] <nil> stage(\"s\") [port(80)] true true false\n"},
		{`f(*["a", 4], **{"ratio": 1})`, "a 4 [] 1 none [] map[] <nil> <nil> [] false true true\n"},
		{`f()`, `5: f: name is missing; name is text`},
		{`f(1)`, `7: f: name: want string, got int; write "1"`},
		{`f("a", "b")`, `12: f: count: want int, got string`},
		{`f("a", 1, 2)`, `15: f: rest[0]: want string, got int; write "2"`},
		{`f("a", lat = 1)`, `12: f: no parameter "lat"; did you mean "late"?`},
		{`f("a", rest = "b")`, `12: f: no parameter "rest"; it takes name, count, ratio, level, list, dict, any, stage, ports, call, late`},
		{`f("a", late = 1)`, `19: f: late: want bool, got int; write True or False`},
		{`f("a", list = "x")`, `19: f: list: want list[string], got string; write ["x"]`},
		{`f("a", list = [1])`, `20: f: list[0]: want string, got int; write "1"`},
		{`f("a", dict = {"k": []})`, `25: f: dict["k"]: want string, got list`},
		{`f("a", dict = [1])`, `19: f: dict: want dict[string, string], got list; write {"name": "value"}`},
		{`f("a", stage = "s")`, `20: f: stage: want stage, got string`},
		{`f("a", ports = [80])`, `21: f: ports[0]: want port, got int`},
		{`f("a", call = 1)`, `19: f: call: want callable, got int`},
		{`f("a", level = "1")`, `20: f: level: want int, got string; write 1 without quotes`},
		{`f(**{"name": "a", "nmae": "b"})`, `5: f: no parameter "nmae"; did you mean "name"?`},
		{`f("a", **{"name": "b"})`, `7: f: name: is given twice`},
		{`f("wrong")`, `7: f: name: is "wrong"`},
		{`f(1, lat = 2)`, `7: f: name: want string, got int; write "1" | 10: f: no parameter "lat"; did you mean "late"?`},
	} {
		if got := call(t, f, test.expr); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.expr, got, test.want)
		}
	}
}

// TestNewWrong checks that a mistake in the declaration is an error of every call.
func TestNewWrong(t *testing.T) {
	none := func(*builtins.Call) (starlark.Value, error) { return starlark.None, nil }
	for want, f := range map[string]*builtins.Func{
		"no arg tag": builtins.New("f", "None", "F.", func(c *builtins.Call, _ *struct{ A string }) (starlark.Value, error) { return none(c) }),
		"unsupported type chan int": builtins.New("f", "None", "F.", func(c *builtins.Call, _ *struct {
			A chan int `arg:"a"`
		}) (starlark.Value, error) {
			return none(c)
		}),
		"default of a: want int, got string": builtins.New("f", "None", "F.", func(c *builtins.Call, _ *struct {
			A int `arg:"a" default:"\"x\""`
		}) (starlark.Value, error) {
			return none(c)
		}),
		"default of a: f() is not a literal": builtins.New("f", "None", "F.", func(c *builtins.Call, _ *struct {
			A int `arg:"a" default:"f()"`
		}) (starlark.Value, error) {
			return none(c)
		}),
		"a *parameter is a slice": builtins.New("f", "None", "F.", func(c *builtins.Call, _ *struct {
			A int `arg:"*a"`
		}) (starlark.Value, error) {
			return none(c)
		}),
		"want a struct": builtins.New("f", "None", "F.", func(c *builtins.Call, _ *int) (starlark.Value, error) { return none(c) }),
	} {
		if got := call(t, f, "f()"); !strings.Contains(got, want) {
			t.Errorf("f() = %s, want %s", got, want)
		}
	}
}
