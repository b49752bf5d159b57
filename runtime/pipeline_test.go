package runtime_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

var staging = runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}

// pipeline makes a plan with the stages "1" to "n".
func pipeline(stages int) *plan.Plan {
	p := &plan.Plan{
		Version:     plan.Version,
		Pipeline:    plan.Pipeline{Name: "shop", BuildParallelism: 7, DeployParallelism: 7},
		Environment: plan.EnvironmentRef{Name: "staging", Kind: "environment"},
	}
	for i := range stages {
		p.Stages = append(p.Stages, plan.Stage{Name: fmt.Sprint(i + 1), Order: i + 1})
	}
	return p
}

// app adds an application that is built.
func app(p *plan.Plan, stage int, name string) *plan.Service {
	p.Builds = append(p.Builds, plan.BuildSpec{ID: name, Source: plan.Source{Path: name}, Context: ".", Dockerfile: "Dockerfile"})
	return service(p, stage, name, plan.ImageSource{Build: name})
}

// service adds a service.
func service(p *plan.Plan, stage int, name string, image plan.ImageSource) *plan.Service {
	p.Services = append(p.Services, plan.Service{
		Name: name, Type: plan.Application, Stage: fmt.Sprint(stage), Image: image,
		Workload: plan.Workload{Replicas: 1},
	})
	return &p.Services[len(p.Services)-1]
}

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []runtime.Event
}

func (r *recorder) add(e runtime.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// deploy runs the action on a world and checks what holds for every run.
func run(t *testing.T, w *runtimetest.World, req runtime.Request) (*runtime.RunRecord, error) {
	t.Helper()
	if req.Action == "" {
		req.Action = runtime.Deploy
	}
	if req.Environment == (runtime.EnvironmentKey{}) {
		req.Environment = staging
	}
	var events recorder
	listen := req.Events
	req.Events = func(e runtime.Event) {
		events.add(e)
		if listen != nil {
			listen(e)
		}
	}
	record, err := w.Runtime().Run(t.Context(), req)
	checkRun(t, record, err, events.events)
	return record, err
}

// states returns how the services ended.
func states(r *runtime.RunRecord) map[string]runtime.State {
	states := make(map[string]runtime.State)
	for _, s := range r.Services {
		states[s.Service] = s.State
	}
	return states
}

// checkRun checks that the events have no gaps, begin and end as they must, tell
// every state of the record, and that every service ends exactly once (A3).
func checkRun(t *testing.T, record *runtime.RunRecord, err error, events []runtime.Event) {
	t.Helper()
	last := make(map[string]runtime.State)
	ended := make(map[string]int)
	open := make(map[string]bool)
	for i, e := range events {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has number %d", i+1, e.Seq)
		}
		switch b := e.Body.(type) {
		case runtime.RunStarted:
			if record == nil || b.Run != record.ID {
				t.Errorf("started run %s, want that of the record %v", b.Run, record)
			}
		case runtime.StageStarted:
			open[e.Stage] = true
		case runtime.StageEnded:
			if !open[e.Stage] {
				t.Errorf("stage %s ended and had not started", e.Stage)
			}
			delete(open, e.Stage)
		case runtime.StateChanged:
			if ended[e.Service] > 0 {
				t.Errorf("service %s is %s after it had ended", e.Service, b.State)
			}
			if b.State.Ended() {
				ended[e.Service]++
			}
			last[e.Service] = b.State
		case runtime.RunEnded:
			if i != len(events)-1 {
				t.Errorf("event %d of %d is the end of the run", i+1, len(events))
			}
		}
	}
	for stage := range open {
		t.Errorf("stage %s started and did not end", stage)
	}
	if record == nil {
		if err == nil {
			t.Errorf("no record and no error")
		}
		return
	}
	if n := len(events); n == 0 {
		t.Errorf("no events")
	} else if _, ok := events[n-1].Body.(runtime.RunEnded); !ok {
		t.Errorf("last event is %s, want the end of the run", events[n-1].Body.Kind())
	}
	for _, s := range record.Services {
		if !s.State.Ended() || ended[s.Service] != 1 || last[s.Service] != s.State {
			t.Errorf("service %s is %s in the record and %s in %d events", s.Service, s.State, last[s.Service], ended[s.Service])
		}
		if (s.State == runtime.Failed) != (s.Err != nil && s.State == runtime.Failed) {
			t.Errorf("service %s failed without an error", s.Service)
		}
	}
	if (err == nil) != (record.Error == "") {
		t.Errorf("error %v, in the record %q", err, record.Error)
	}
}
