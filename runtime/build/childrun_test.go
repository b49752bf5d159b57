package build_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
	ours "github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A childRun is a run in a process of its own: it builds images and deploys them to an environment in
// memory.
type childRun struct {
	Home     string   // of the state, and of the embedded BuildKit
	Builders []string // default: the embedded BuildKit
	Dir      string   // of the workspace
	Registry string
	Shared   bool     // builds are claimed in the registry
	Builds   []string // the sources of the images, which are directories of the workspace
	Parallel int      // default: as in a Pipelinefile
	By       string
	Quiet    bool // no events are printed
}

// command returns the command of the process, which starts with the words of before, if any; out is
// what it prints: the events and the images.
func (d childRun) command(t testing.TB, before ...string) (cmd *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	args := append(before, os.Args[0], "child-run", string(data))
	cmd, out = exec.Command(args[0], args[1:]...), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// do is the main function of the process. Without builds it only starts the embedded BuildKit.
func (d childRun) do(ctx context.Context, out io.Writer) error {
	if len(d.Builders) == 0 {
		a, err := daemon.Background{Home: d.Home, Idle: time.Minute}.Ensure(ctx)
		if err != nil {
			return err
		}
		defer a.Release()
		d.Builders = []string{a.Addr}
	}
	if len(d.Builds) == 0 {
		fmt.Fprintln(out, d.Builders[0])
		return nil
	}
	server, _, _ := strings.Cut(d.Registry, "/")
	images, err := ours.New(ours.Options{Prefix: d.Registry, PlainHTTP: []string{server}, Shared: d.Shared, Locks: filepath.Join(d.Home, "cache", "builds")})
	if err != nil {
		return err
	}
	b := build.New(build.Options{
		Dir: d.Dir, Addresses: d.Builders, CacheDir: filepath.Join(d.Home, "cache"), PlainHTTP: []string{server},
		Attest: build.Attest{Beside: images.Beside, Publish: images.Publish},
	})
	defer b.Close()
	world := runtimetest.NewWorld()
	rt := world.Runtime()
	rt.Builder, rt.Registry, rt.Deployer = b, images, &puller{world.Deployer, world}
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: "childruns", BuildParallelism: cmp.Or(d.Parallel, plan.DefaultParallelism)},
		Environment: plan.EnvironmentRef{Name: "dev", Kind: "environment"}, Stages: []plan.Stage{{Name: "one", Order: 1}},
	}
	for _, source := range d.Builds {
		p.Builds = append(p.Builds, plan.BuildSpec{ID: source, Source: plan.Source{Path: source}, Context: ".", Dockerfile: "Dockerfile"})
		p.Services = append(p.Services, plan.Service{
			Name: source, Type: plan.Application, Stage: "one", Image: plan.ImageSource{Build: source}, Workload: plan.Workload{Replicas: 1},
		})
	}
	var mu sync.Mutex
	record, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: runtime.KeyOf(p), Plan: p, By: d.By, Events: func(e runtime.Event) {
		if d.Quiet {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s %+v\n", e.Body.Kind(), e.Body)
	}})
	if err != nil {
		return err
	}
	for _, s := range record.Services {
		fmt.Fprintf(out, "image %s\n", s.Image)
	}
	return nil
}

// A puller is a cluster in memory that can pull each image.
type puller struct {
	*runtimetest.Deployer
	world *runtimetest.World
}

// Act implements [runtime.Deployer].
func (p *puller) Act(ctx context.Context, a runtime.Action, r runtime.Release, emit runtime.Emit) error {
	_, digest, _ := strings.Cut(r.Image, "@")
	p.world.Registry.Push(r.Image, plan.Digest(digest))
	return p.Deployer.Act(ctx, a, r, emit)
}
