package runtime_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// A plan is previewed, and then carried out. Here everything is in memory; package
// runtime/local puts a Runtime together that builds and deploys.
func Example() {
	rt := runtimetest.NewWorld().Runtime()
	p := &plan.Plan{
		Pipeline:    plan.Pipeline{Name: "shop"},
		Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
		Stages:      []plan.Stage{{Name: "databases", Order: 1}, {Name: "applications", Order: 2}},
		Services: []plan.Service{
			{Name: "db", Stage: "databases"},
			{Name: "api", Stage: "applications", Image: plan.ImageSource{Build: "api"}},
		},
		Builds: []plan.BuildSpec{{ID: "api", Source: plan.Source{Path: "api"}, Context: ".", Dockerfile: "Dockerfile"}},
	}
	req := runtime.Request{
		Action: runtime.Deploy,
		Plan:   p,
		By:     "ana@laptop",
		Events: func(e runtime.Event) {
			if s, ok := e.Body.(runtime.StateChanged); ok {
				fmt.Println(e.Stage, e.Service, s.State)
			}
		},
	}
	steps, err := rt.Preview(context.Background(), req)
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range steps {
		fmt.Printf("%s: %s %s: %s\n", step.Service, step.Image, step.Do, step.Why)
	}
	record, err := rt.Run(context.Background(), req)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(record.Services), "services")
	// Output:
	// db:  deploying: not deployed yet
	// api: build deploying: no image of this source in the registry; not deployed yet
	// databases db deploying
	// databases db done
	// applications api building
	// applications api built
	// applications api deploying
	// applications api done
	// 2 services
}
