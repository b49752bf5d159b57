package builtins_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// eval evaluates a Pipelinefile with one additional builtin, and prints the labels of its
// first service, or the errors.
func eval(f *builtins.Func, text string) {
	dir, err := os.MkdirTemp("", "builtins")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "Pipelinefile")
	if err := os.WriteFile(file, []byte(text+"\npipeline(\"shop\")\n"), 0o644); err != nil {
		fmt.Println(err)
		return
	}
	p, err := interp.Eval(context.Background(), file, interp.Options{Root: dir, Builtins: []*builtins.Func{f}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Services[0].Workload.Labels)
}

// A host program declares its own function: the struct is the signature.
func ExampleNew() {
	type args struct {
		Name string `arg:"name" help:"the team's name"`
		Tier int    `arg:"tier,kw" default:"2" help:"how much it matters, 1 to 3"`
	}
	team := builtins.New("team", "dict[str, str]", "Returns the labels of a team.",
		func(_ *builtins.Call, a *args) (starlark.Value, error) {
			labels := starlark.NewDict(2)
			_ = labels.SetKey(starlark.String("team"), starlark.String(a.Name))
			return labels, labels.SetKey(starlark.String("tier"), starlark.MakeInt(a.Tier))
		})
	eval(team, `container("web", image = "nginx:1.27", labels = team("payments"))`)
	eval(team, `container("web", image = "nginx:1.27", labels = team("payments", teir = 1))`)
	// Output:
	// map[team:payments tier:2]
	// Pipelinefile:1:66: team: no parameter "teir"
	//     container("web", image = "nginx:1.27", labels = team("payments", teir = 1))
	//                                                                      ^
	//     did you mean "tier"?
}

// The arguments of a function, including the elements in them, are checked before it is
// called.
func ExampleFunc() {
	type args struct {
		Teams []string `arg:"*teams" help:"names of teams"`
	}
	owners := builtins.New("owners", "dict[str, str]", "Returns the label of some teams.",
		func(_ *builtins.Call, a *args) (starlark.Value, error) {
			labels := starlark.NewDict(1)
			return labels, labels.SetKey(starlark.String("teams"), starlark.String(strings.Join(a.Teams, "-")))
		})
	eval(owners, `container("web", image = "nginx:1.27", labels = owners("search", "payments"))`)
	eval(owners, `container("web", image = "nginx:1.27", labels = owners("search", 3))`)
	// Output:
	// map[teams:search-payments]
	// Pipelinefile:1:66: owners: teams[1]: want string, got int
	//     container("web", image = "nginx:1.27", labels = owners("search", 3))
	//                                                                      ^
	//     write "3"
}

// A wrong argument is an error at its position, with a hint about how to fix it.
func ExampleCall() {
	type args struct {
		Name string `arg:"name" help:"the team's name"`
	}
	teams := []string{"payments", "search"}
	team := builtins.New("team", "dict[str, str]", "Returns the labels of a team.",
		func(c *builtins.Call, a *args) (starlark.Value, error) {
			if near := builtins.Nearest(a.Name, teams); near != "" {
				return nil, c.ErrorSuggest("name", near, "there is no team %q", a.Name)
			}
			return starlark.NewDict(0), nil
		})
	eval(team, `container("web", image = "nginx:1.27", labels = team("paymnets"))`)
	// Output:
	// Pipelinefile:1:54: team: name: there is no team "paymnets"
	//     container("web", image = "nginx:1.27", labels = team("paymnets"))
	//                                                          ^
	//     did you mean "payments"?
}

// Tools can read the signature of a function as data.
func ExampleCall_Passed() {
	type args struct {
		Name  string `arg:"name" help:"the name"`
		Owner string `arg:"owner,kw" default:"None" help:"who owns it"`
		Color string `arg:"color,kw" default:"None" help:"its color"`
	}
	thing := builtins.New("thing", "None", "Declares a thing.", func(c *builtins.Call, _ *args) (starlark.Value, error) {
		for p := range c.Passed() {
			fmt.Println(p.Name)
		}
		return starlark.None, nil
	})
	eval(thing, `thing(color = "red", name = "x")
container("a", image = "nginx:1.27")`)
	// Output:
	// name
	// color
	// map[]
}

func ExampleParam() {
	type args struct {
		Name string `arg:"name" help:"the team's name"`
		Tier int    `arg:"tier,kw" default:"2" help:"how much it matters, 1 to 3"`
	}
	team := builtins.New("team", "dict[str, str]", "Returns the labels of a team.",
		func(*builtins.Call, *args) (starlark.Value, error) { return starlark.None, nil })
	fmt.Println(team.Signature())
	for _, p := range team.Params {
		fmt.Printf("%s (%s, required: %t): %s\n", p.Name, p.Type, p.Required(), p.Help)
	}
	// Output:
	// team(name, *, tier=2)
	// name (str, required: true): the team's name
	// tier (int, required: false): how much it matters, 1 to 3
}

// A recorder is a session of plain Starlark: it counts nothing and knows no source files.
type recorder struct{ wrong []plan.Diagnostic }

func (r *recorder) Enter(*builtins.Func, starlark.Tuple, []starlark.Tuple) error { return nil }
func (r *recorder) Leave(starlark.Value) error                                   { return nil }
func (r *recorder) Report(d plan.Diagnostic)                                     { r.wrong = append(r.wrong, d) }
func (r *recorder) ReportSure(d plan.Diagnostic)                                 { r.Report(d) }
func (r *recorder) Caller(th *starlark.Thread) plan.Pos {
	p := th.CallFrame(1).Pos
	return plan.Pos{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}
func (r *recorder) CallExpr(*starlark.Thread) (call *syntax.CallExpr, file string) { return nil, "" }
func (r *recorder) Stack(*starlark.Thread) []plan.Frame                            { return nil }

// A test of a function needs no Pipelinefile: the test binds it to its own session.
func ExampleSession() {
	type args struct {
		Name string `arg:"name" help:"the team's name"`
	}
	team := builtins.New("team", "str", "Returns the name of a team.",
		func(_ *builtins.Call, a *args) (starlark.Value, error) { return starlark.String(a.Name), nil })
	var s recorder
	_, err := starlark.ExecFileOptions(&syntax.FileOptions{}, new(starlark.Thread), "test.star", "team(7)", starlark.StringDict{"team": team.Bind(&s)})
	fmt.Println(errors.Is(err, builtins.ErrReported), s.wrong[0].Pos, s.wrong[0].Message)
	// Output: true test.star:1:5 team: name: want string, got int
}

func ExampleNearest() {
	fmt.Println(builtins.Nearest("paymnets", []string{"payments", "search"}))
	// Output: payments
}
