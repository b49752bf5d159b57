package interp_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
		fmt.Println(s.Stage, "|", s.Name, s.Workload.Env)
	}
	// Output:
	// DEFAULT CONTAINER | cache []
	// DEFAULT APPLICATION | web [{CACHE cache <nil>} {TITLE Corner shop <nil>}]
}

// All that is wrong is said at once, with positions.
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
