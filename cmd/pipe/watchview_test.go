package main

import (
	"context"
	"os"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// inMemory runs pipe with a world in memory in a separate process, so that tests use it on
// a terminal like a user. A restart lasts as long as the file $PIPE_TEST_HOLD exists.
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
