package main

import (
	"context"
	"os"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// inMemory is pipe with a world in memory, as a process of its own: on a terminal
// it is what a user has. A restart lasts while the file $PIPE_TEST_HOLD is there.
func inMemory() {
	a := process()
	world := runtimetest.NewWorld()
	world.Hook = func(_ context.Context, c runtimetest.Call) error {
		hold, _ := a.env("PIPE_TEST_HOLD")
		for ; c.Op == "Deployer.Restart"; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(hold); err != nil {
				break
			}
		}
		return nil
	}
	a.open = func(context.Context, local.Options) (*local.Runtime, error) {
		return &local.Runtime{Runtime: *world.Runtime(), Config: &rest.Config{Host: "https://127.0.0.1:1"}}, nil
	}
	os.Exit(a.main())
}
