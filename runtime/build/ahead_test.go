package build_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A realRegistry is that of the world, with references to a real one, to which builds push.
type realRegistry struct {
	runtime.Registry
	host string
}

func (r realRegistry) Ref(service string, identity plan.Digest) string {
	return fmt.Sprintf("%s/%s:%s", r.host, service, strings.TrimPrefix(string(identity), "sha256:"))
}

// A pushing builder is a real one. The world learns what it has pushed.
type pushing struct {
	runtime.Builder
	world *runtimetest.World
}

func (b pushing) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (plan.Digest, error) {
	digest, err := b.Builder.Build(ctx, spec, ref, emit)
	if err == nil {
		b.world.Registry.Push(ref, digest)
	}
	return digest, err
}

// TestBuildAhead: an image of the second stage is built while the first one is deployed, which
// lasts until the build has ended, and the record has its time (A2).
func TestBuildAhead(t *testing.T) {
	dir := workspace(t, files{"one/Dockerfile": "FROM scratch\nCOPY x /\n", "one/x": "1", "two/Dockerfile": "FROM scratch\nCOPY x /\n", "two/x": "2"})
	p := &plan.Plan{
		Pipeline: plan.Pipeline{Name: "shop", BuildAhead: true}, Environment: plan.EnvironmentRef{Name: "staging", Kind: plan.KindEnvironment},
		Stages: []plan.Stage{{Name: "first"}, {Name: "second"}},
	}
	for service, stage := range map[string]string{"one": "first", "two": "second"} {
		b := spec(service)
		b.ID = service
		p.Builds = append(p.Builds, b)
		p.Services = append(p.Services, plan.Service{Name: service, Type: plan.Application, Stage: stage, Image: plan.ImageSource{Build: service}})
	}
	built := make(chan bool)
	w := runtimetest.NewWorld()
	w.Hook = func(ctx context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Deploy" && c.Subject == "one" {
			select {
			case <-built:
			case <-ctx.Done():
			}
		}
		return nil
	}
	rt := w.Runtime()
	rt.Builder, rt.Registry = pushing{newBuilder(t, dir), w}, realRegistry{rt.Registry, images(t)}
	var mu sync.Mutex
	var order []string
	record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p, Events: func(e runtime.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch b := e.Body.(type) {
		case runtime.StateChanged:
			if b.State == runtime.Built {
				order = append(order, "built "+e.Service)
				if e.Service == "two" {
					close(built)
				}
			}
		case runtime.StageEnded:
			order = append(order, "ended "+e.Stage)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	at := func(what string) int {
		for i, o := range order {
			if o == what {
				return i
			}
		}
		t.Errorf("%q did not happen: %q", what, order)
		return -1
	}
	if at("built two") > at("ended first") {
		t.Errorf("the order is %q", order)
	}
	if record.Ahead <= 0 || record.Ahead > record.End.Sub(record.Start) {
		t.Errorf("built ahead for %v of %v", record.Ahead, record.End.Sub(record.Start))
	}
}
