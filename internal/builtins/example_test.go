package builtins_test

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/builtins"
)

// A host program declares a function of its own: the struct is its signature.
func ExampleNew() {
	type args struct {
		Name string `arg:"name" help:"the team's name"`
		Tier int    `arg:"tier,kw" default:"2" help:"1 to 3"`
	}
	team := builtins.New("team", "dict[str, str]", "Returns the labels of a team.",
		func(c *builtins.Call, a *args) (starlark.Value, error) {
			if a.Tier < 1 || a.Tier > 3 {
				return nil, c.Errorf("tier", "want 1 to 3, got %d", a.Tier)
			}
			labels := starlark.NewDict(2)
			_ = labels.SetKey(starlark.String("team"), starlark.String(a.Name))
			_ = labels.SetKey(starlark.String("tier"), starlark.String(fmt.Sprint(a.Tier)))
			return labels, nil
		})
	fmt.Println(team.Signature())
	// Output: team(name, *, tier=2)
}

func ExampleStandard() {
	for _, f := range builtins.Standard() {
		if f.Name == "port" {
			fmt.Println(f.Signature())
			fmt.Println(f.Doc)
		}
	}
	// Output:
	// port(number, *, name=None, protocol="TCP", public=False, host=None)
	// Describes a port that a service listens on.
}

func ExampleReference() {
	fmt.Println(strings.Contains(builtins.Reference(), "### application"))
	// Output: true
}

func ExampleStubs() {
	fmt.Println(strings.Contains(builtins.Stubs(), "def secret(name: str, *, key: str | None = None) -> Secret:"))
	// Output: true
}

func ExampleNearest() {
	fmt.Println(builtins.Nearest("contaner", []string{"application", "container"}))
	// Output: container
}

func ExampleResolve() {
	fmt.Println(builtins.Resolve("lib", "../api"))
	fmt.Println(builtins.Resolve("lib", "../../api"))
	// Output:
	// api <nil>
	//  "../../api" leaves the workspace
}

func ExampleCheckVersion() {
	fmt.Println(builtins.CheckVersion(">=0.4", "v0.3.1"))
	fmt.Println(builtins.CheckVersion(">=0.4", "v0.4.0"))
	// Output:
	// this Pipelinefile needs pipe >=0.4, and this is pipe v0.3.1
	// <nil>
}

func ExampleCheckEnvironment() {
	fmt.Println(builtins.CheckEnvironment("shop", "staging"))
	fmt.Println(builtins.CheckEnvironment("shop", "Staging"))
	// Output:
	// <nil>
	// environment: "Staging" is no name: want small letters, digits and dashes, with a letter or digit at both ends
}

func ExampleNames() {
	for _, n := range builtins.Names() {
		if n.Name == "environment" {
			fmt.Println(n.Doc)
		}
	}
	// Output: The environment that the pipeline is evaluated for.
}

func ExampleTypes() {
	for _, t := range builtins.Types() {
		if t.Name == "service" {
			fmt.Println(t.Attrs[0].Name, t.Attrs[0].Type)
		}
	}
	// Output: name str
}

func ExampleDescribed() {
	for _, f := range builtins.Described() {
		if f.Name == "json.encode" {
			fmt.Println(f.Signature())
		}
	}
	// Output: json.encode(x)
}

func ExampleHasSecret() {
	fmt.Println(builtins.HasSecret("print", starlark.String("plain")))
	// Output: <nil>
}
