package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// twoServices is a plan for the environment staging of the pipeline shop.
func twoServices() *plan.Plan {
	return &plan.Plan{
		Pipeline:    plan.Pipeline{Name: "shop"},
		Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages:      []plan.Stage{{Name: "all", Order: 1}},
		Services:    []plan.Service{{Name: "api", Stage: "all"}, {Name: "web", Stage: "all"}},
	}
}

// What is deployed already is left alone (A7).
func ExampleRuntime_Run() {
	rt := runtimetest.NewWorld().Runtime()
	for range 2 {
		record, err := rt.Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: twoServices(), By: "ana"})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, s := range record.Services {
			fmt.Println(s.Service, s.State)
		}
	}
	// Output:
	// api done
	// web done
	// api unchanged
	// web unchanged
}

func ExampleRuntime_Preview() {
	rt := runtimetest.NewWorld().Runtime()
	p := twoServices()
	p.Services[1].Skip, p.Services[1].SkipWhy = true, &plan.Reason{Text: "skip = True"}
	steps, err := rt.Preview(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: p})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range steps {
		fmt.Printf("%s: %s: %s\n", step.Service, step.Do, step.Why)
	}
	// Output:
	// api: deploying: not deployed yet
	// web: skipped: skip = True
}

// A service that fails is told apart from a run that could not start.
func ExampleRunError() {
	w := runtimetest.NewWorld()
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Deploy" && c.Subject == "api" {
			return &runtime.ReleaseError{Release: "api", Err: errors.New("its pod ends with status 1"), Evidence: []string{"pod api-1: no DATABASE_URL"}}
		}
		return nil
	}
	record, err := w.Runtime().Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: twoServices(), KeepGoing: true})
	var failed *runtime.RunError
	var release *runtime.ReleaseError
	if errors.As(err, &failed) && errors.As(err, &release) {
		fmt.Println(failed.Failed[0].Service, "failed:", release.Err)
		fmt.Println(release.Evidence[0])
	}
	fmt.Println("web is", record.Services[1].State)
	// Output:
	// api failed: its pod ends with status 1
	// pod api-1: no DATABASE_URL
	// web is done
}

// One environment has one run at a time (A5).
func ExampleLockedError() {
	w := runtimetest.NewWorld()
	key := runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}
	lease, err := w.Runtime().Locker.Lock(context.Background(), key, "ana")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = w.Runtime().Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: twoServices(), By: "ben"})
	var locked *runtime.LockedError
	if errors.As(err, &locked) {
		fmt.Println(locked.Key.Name, "is held by", locked.Holder.By)
	}
	fmt.Println(lease.Release(context.Background()))
	// Output:
	// staging is held by ana
	// <nil>
}

// A preview of a branch is a clone that is deleted after a time (E3).
func ExampleRuntime_Clone() {
	rt := runtimetest.NewWorld().Runtime()
	if _, err := rt.Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: twoServices()}); err != nil {
		fmt.Println(err)
		return
	}
	branch := "Feature/faster search"
	env, err := rt.Clone(context.Background(), runtime.CloneRequest{
		Source: runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}, Name: runtime.PreviewName(branch), Branch: branch, TTL: 24 * time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(env.Kind, "of", env.Source)
	fmt.Println(env.Ref().Branch) // evaluate with this
	// Output:
	// preview of staging
	// Feature/faster search
}

// A service that an environment shall not have is left out of its runs (E4).
func ExampleRuntime_Skip() {
	rt := runtimetest.NewWorld().Runtime()
	req := runtime.Request{Action: runtime.Deploy, Plan: twoServices()}
	if _, err := rt.Run(context.Background(), req); err != nil {
		fmt.Println(err)
		return
	}
	if err := rt.Skip(context.Background(), runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}, "web"); err != nil {
		fmt.Println(err)
		return
	}
	record, err := rt.Run(context.Background(), req)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range record.Services {
		fmt.Printf("%s %s: %s\n", s.Service, s.State, s.Reason)
	}
	// Output:
	// api unchanged: already deployed
	// web skipped: skipped in environment staging
}

// Each run is kept, and can be rolled back to.
func ExampleRuntime_Rollback() {
	rt := runtimetest.NewWorld().Runtime()
	first, err := rt.Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: twoServices()})
	if err != nil {
		fmt.Println(err)
		return
	}
	changed := twoServices()
	changed.Services[0].Workload.Replicas = 3
	if _, err := rt.Run(context.Background(), runtime.Request{Action: runtime.Deploy, Plan: changed}); err != nil {
		fmt.Println(err)
		return
	}
	record, err := rt.Run(context.Background(), runtime.Request{
		Environment: runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}, RollbackTo: first.ID,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range record.Services {
		fmt.Println(s.Service, s.State)
	}
	// Output:
	// api done
	// web unchanged
}

// In JSON an event is one flat object.
func ExampleEvent() {
	data, err := json.Marshal(runtime.Event{
		Seq: 3, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Stage: "all", Service: "api",
		Body: runtime.StateChanged{State: runtime.Deploying, Reason: "another image"},
	})
	fmt.Println(string(data), err)
	// Output: {"seq":3,"time":"2026-03-01T12:00:00Z","kind":"service.state","stage":"all","service":"api","state":"deploying","reason":"another image"} <nil>
}

// An environment is evaluated again as it was.
func ExampleEnvironment() {
	p := twoServices()
	p.Params = []plan.Param{{Name: "level", Type: "string", Value: "debug"}, {Name: "title", Type: "string", Value: "Shop", Default: true}}
	env := &runtime.Environment{
		Key: runtime.EnvironmentKey{Pipeline: "shop", Name: "pr-7"}, Kind: "preview", Source: "staging", Branch: "faster", Plan: p,
	}
	fmt.Printf("%+v\n", env.Ref())
	fmt.Println(env.Params())
	// Output:
	// {Name:pr-7 Kind:preview Source:staging Branch:faster Namespace:shop-pr-7}
	// map[level:debug]
}

func ExampleEnvironmentKey() {
	fmt.Println(runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}.Namespace())
	// Output: shop-staging
}

func ExampleSecret() {
	s := runtime.NewSecret("hunter2")
	fmt.Printf("%v %+v %#v %d\n", s, s, s, len(s.Reveal()))
	// Output: REDACTED REDACTED REDACTED 7
}

func ExampleByDigest() {
	fmt.Println(runtime.ByDigest("registry.example.com/shop/api:0123", "sha256:4567"))
	// Output: registry.example.com/shop/api@sha256:4567
}

func ExamplePreviewName() {
	fmt.Println(runtime.PreviewName("main"))
	fmt.Println(runtime.PreviewName("Feature/Faster search") == runtime.PreviewName("feature-faster-search"))
	// Output:
	// main
	// false
}
