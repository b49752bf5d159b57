package interp_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing/fstest"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// temporary writes a Pipelinefile for an example.
func temporary(text string) (file string, remove func()) {
	dir, err := os.MkdirTemp("", "pipe-example")
	if err != nil {
		panic(err)
	}
	file = filepath.Join(dir, "Pipelinefile")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		panic(err)
	}
	return file, func() { os.RemoveAll(dir) }
}

func ExampleEval() {
	file, remove := temporary(`
pipeline("shop")
title = param("title", default = "Shop")
cache = container("cache", image = "redis:7", ports = [port(6379)])
application("web", image = "ghcr.io/owner/web:1", env = {"CACHE": cache.host, "TITLE": title})
`)
	defer remove()
	p, err := interp.Eval(context.Background(), file, interp.Options{
		Environment: plan.EnvironmentRef{Name: "staging"},
		Params:      map[string]string{"title": "Corner shop"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range p.Services {
		fmt.Println(s.Stage, "|", s.Name)
		for _, e := range s.Workload.Env {
			fmt.Println(" ", e.Name, "=", e.Value)
		}
	}
	// Output:
	// DEFAULT CONTAINER | cache
	// DEFAULT APPLICATION | web
	//   CACHE = cache
	//   TITLE = Corner shop
}

// Run evaluates a part of a Pipelinefile.
func ExampleRun() {
	file, remove := temporary(`print([n * n for n in range(4)])`)
	defer remove()

	err := interp.Run(context.Background(), file, interp.Options{
		Print: func(at plan.Pos, text string) { fmt.Println(at, text) },
	})
	fmt.Println(err)
	// Output:
	// Pipelinefile:1:1 [0, 1, 4, 9]
	// <nil>
}

// One evaluation reports all mistakes, with positions.
func ExampleError() {
	file, remove := temporary(`pipeline("shop")
container("cache", image = "redis:7", prots = [port(6379)])
container("web", image = "ghcr.io/owner/web", stage = "DEFAULT CONTANER")
`)
	defer remove()
	_, err := interp.Eval(context.Background(), file, interp.Options{})
	var wrong *interp.Error
	if errors.As(err, &wrong) {
		fmt.Println(len(wrong.Diagnostics), "errors")
	}
	fmt.Println(err)
	// Output:
	// 2 errors
	// Pipelinefile:2:39: container: no parameter "prots"
	//     container("cache", image = "redis:7", prots = [port(6379)])
	//                                           ^
	//     did you mean "ports"?
	// Pipelinefile:3:55: service web: there is no stage "DEFAULT CONTANER"
	//     container("web", image = "ghcr.io/owner/web", stage = "DEFAULT CONTANER")
	//                                                           ^
	//     did you mean "DEFAULT CONTAINER"?
}

func ExampleWorkspace() {
	file, remove := temporary("")
	defer remove()
	root, err := interp.Workspace(file)
	fmt.Println(root == filepath.Dir(file), err)
	// Output: true <nil>
}

// A host program adds its own function and library.
func ExampleOptions() {
	type args struct {
		Name string `arg:"name" help:"of the team"`
	}
	owner := builtins.New("owner", "str", "Returns who is called at night.", func(c *builtins.Call, a *args) (starlark.Value, error) {
		if a.Name != "shop" {
			return nil, c.Errorf("name", "there is no team %q", a.Name)
		}
		return starlark.String("ann"), nil
	})
	house := fstest.MapFS{"teams.star": {Data: []byte(`
def labels(team):
    return {"team": team, "owner": owner(team)}
`)}}
	file, remove := temporary(`
load("@house//teams.star", "labels")
pipeline("shop")
container("web", image = "nginx:1.27", labels = labels("shop"))
`)
	defer remove()
	p, err := interp.Eval(context.Background(), file, interp.Options{
		Builtins: []*builtins.Func{owner},
		Modules:  map[string]fs.FS{"house": house},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Service("web").Workload.Labels)
	// Output: map[owner:ann team:shop]
}

// A program that watches the workspace evaluates it repeatedly.
func ExampleTrees() {
	file, remove := temporary(`
pipeline("shop")
container("web", image = "nginx:1.27", chart = chart("web"))
`)
	defer remove()
	dir := filepath.Dir(file)
	chart := func(version string) {
		_ = os.MkdirAll(filepath.Join(dir, "web"), 0o755)
		_ = os.WriteFile(filepath.Join(dir, "web", "Chart.yaml"), []byte("apiVersion: v2\nname: web\nversion: "+version+"\n"), 0o600)
	}
	trees := &interp.Trees{}
	digest := func() plan.Digest {
		p, err := interp.Eval(context.Background(), file, interp.Options{Trees: trees})
		if err != nil {
			fmt.Println(err)
			return ""
		}
		for _, in := range p.Inputs {
			if in.Kind == plan.InputChart {
				return in.Digest
			}
		}
		return ""
	}
	chart("1.0.0")
	before := digest()
	chart("2.0.0")
	fmt.Println(digest() == before) // the change was not reported yet
	trees.Changed([]string{"web/Chart.yaml"})
	fmt.Println(digest() == before)
	// Output:
	// true
	// false
}

// A server evaluates untrusted files.
func ExampleLimits() {
	file, remove := temporary(`pipeline("shop")
all = [i * i for i in range(1000000)]
`)
	defer remove()
	_, err := interp.Eval(context.Background(), file, interp.Options{Limits: interp.Limits{Steps: 100_000, Size: 1 << 20}})
	fmt.Println(err)
	// Output:
	// Pipelinefile:2:20: evaluation takes more than 100000 steps
	//     all = [i * i for i in range(1000000)]
	//                        ^
	//     is a loop larger than it was meant to be?
}

// An editor shows the errors in a file while it is edited.
func ExampleCheck() {
	_, found := interp.Check(context.Background(), "Pipelinefile", []byte(`pipeline("shop")
contaner("web", image = "nginx")
`), interp.Options{})
	for _, d := range found {
		fmt.Println(d.Pos, d.Message, "-", d.Hint)
	}
	// Output: Pipelinefile:2:1 undefined: contaner - did you mean "container"?
}

// A tool that checks sources reads one and checks it.
func ExampleReadSource() {
	file, remove := temporary("x = y")
	defer remove()
	text, err := interp.ReadSource(file)
	if err != nil {
		panic(err)
	}
	_, found := interp.Check(context.Background(), "Pipelinefile", text, interp.Options{})
	fmt.Println(found[0].Message)
	// Output: undefined: y
}

// A host program has its own rules for what it deploys.
func ExampleRefuse() {
	file, remove := temporary(`pipeline("shop")
container("web", image = "nginx:latest")
`)
	defer remove()
	root := filepath.Dir(file)
	p, err := interp.Eval(context.Background(), file, interp.Options{Root: root})
	if err != nil {
		fmt.Println(err)
		return
	}
	var wrong []plan.Diagnostic
	for _, s := range p.Services {
		if s.Workload.Labels["team"] == "" {
			wrong = append(wrong, plan.Diagnostic{
				Pos: s.Pos, Message: fmt.Sprintf("nobody owns service %s", s.Name), Hint: `give it labels = {"team": …}`,
			})
		}
	}
	fmt.Println(interp.Refuse(root, p, wrong))
	// Output:
	// Pipelinefile:2:1: nobody owns service web
	//     container("web", image = "nginx:latest")
	//     ^
	//     give it labels = {"team": …}
}

// A test is a function in a file next to the Pipelinefile. If it fails, the error has a
// position.
func ExampleTest() {
	file, remove := temporary(`pipeline("shop")
container("web", image = "nginx:1", replicas = 3 if environment.name == "production" else 1)
`)
	defer remove()
	tests := filepath.Join(filepath.Dir(file), "shop_test.star")
	err := os.WriteFile(tests, []byte(`load("@std//testing.star", "equal")

def test_replicas():
    equal(plan().service("web").workload.replicas, 1)
    equal(plan(environment = "production").service("web").workload.replicas, 2)
`), 0o644)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = interp.Test(context.Background(), tests, "test_replicas", interp.Options{})
	fmt.Println(err)
	// Output:
	// shop_test.star:5:5: equal: got 3, want 2
	//     equal(plan(environment = "production").service("web").workload.replicas, 2)
	//     ^
}

// A file that a test compares with differs, or is missing: the caller shows or writes it.
func ExampleGolden() {
	file, remove := temporary(`pipeline("shop")`)
	defer remove()
	tests := filepath.Join(filepath.Dir(file), "shop_test.star")
	err := os.WriteFile(tests, []byte(`
def test_name():
    golden(plan().pipeline.name, "testdata/name")
`), 0o644)
	if err != nil {
		fmt.Println(err)
		return
	}
	tested, err := interp.Test(context.Background(), tests, "test_name", interp.Options{})
	fmt.Println(err)
	for _, g := range tested.Goldens {
		fmt.Println(g.Pos, g.Path, g.Missing, g.Got)
	}
	for _, in := range tested.Inputs {
		fmt.Println(in.Kind, in.Path)
	}
	// Output:
	// <nil>
	// shop_test.star:3:5 testdata/name true shop
	// module Pipelinefile
	// module shop_test.star
	// file testdata/name
}

// Tests lists the tests of a file without running it.
func ExampleTests() {
	const file = "shop_test.star"
	tree, _ := interp.Check(context.Background(), file, []byte(`
def test_replicas():
    golden(plan(), "testdata/plan.json")

def other():
    pass
`), interp.Options{})
	for _, t := range interp.Tests(file, tree) {
		fmt.Println(t.Pos, t.Name)
	}
	// Output: shop_test.star:2:5 test_replicas
}
