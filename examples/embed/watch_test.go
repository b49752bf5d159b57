package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// watchFile deploys a Pipelinefile, and again whenever it or what it reads has
// changed, until ctx is done.
func watchFile(ctx context.Context, rt *runtime.Runtime, file string, events func(runtime.Event)) error {
	root := filepath.Dir(file)
	return watch.Run(ctx, watch.Options{
		Root:    root,
		Runtime: rt,
		Request: runtime.Request{Environment: runtime.EnvironmentKey{Pipeline: "shop", Name: "default"}, KeepGoing: true},
		Events:  events,
		Evaluate: func(ctx context.Context) watch.Evaluation {
			p, err := interp.Eval(ctx, file, interp.Options{Root: root})
			var wrong *interp.Error
			switch {
			case errors.As(err, &wrong): // what it read is watched all the same
				return watch.Evaluation{Err: err, Errors: wrong.Diagnostics, Inputs: wrong.Inputs}
			case err != nil:
				return watch.Evaluation{Err: err}
			}
			return watch.Evaluation{Plan: p, Inputs: p.Inputs}
		},
	})
}

// TestWatchFile saves a file three times: the second time with a mistake.
func TestWatchFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Pipelinefile")
	save := func(text string) {
		if err := os.WriteFile(file, []byte("pipeline(\"shop\")\n"+text), 0o600); err != nil {
			t.Error(err)
		}
	}
	save("")
	world := runtimetest.NewWorld()
	world.Registry.Upstream("redis:7", "sha256:1")
	ctx, enough := context.WithCancelCause(t.Context())
	stop := errors.New("enough was seen")
	var seen []runtime.WatchState
	err := watchFile(ctx, world.Runtime(), file, func(e runtime.Event) {
		now, ok := e.Body.(runtime.WatchChanged)
		if !ok || now.State != runtime.Settled && now.State != runtime.Wrong {
			return
		}
		switch seen = append(seen, now.State); len(seen) {
		case 1:
			save("container(\"cache\", image = nothing)\n")
		case 2:
			save("container(\"cache\", image = \"redis:7\")\n")
		case 3:
			enough(stop)
		}
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if len(seen) != 3 || seen[0] != runtime.Settled || seen[1] != runtime.Wrong || seen[2] != runtime.Settled {
		t.Errorf("states %v, want settled, wrong, settled", seen)
	}
	if r := world.Deployer.Releases("shop-default")["cache"]; r.Revision != 1 {
		t.Errorf("cache has revision %d, want 1", r.Revision)
	}
}
