package why_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/cmd/internal/why"
	"github.com/pipelinefile/pipe/plan"
)

// shop is a plan as a file would make it of its parameters.
func shop(values map[string]string) *plan.Plan {
	size := plan.Param{Name: "size", Type: "int", Value: values["size"]}
	p := &plan.Plan{
		Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "staging"},
		Params: []plan.Param{size, {Name: "mode", Type: "string", Value: values["mode"], Choices: []string{"a", "b", "c"}}, {Name: "odd", Type: "bool", Value: values["odd"]}},
		Stages: []plan.Stage{{Name: "one"}, {Name: "two"}},
		Services: []plan.Service{{
			Name: "api", Type: plan.Application, Stage: "two", Placed: plan.Placement{By: plan.ByLatest}, Image: plan.ImageSource{Build: "api"},
			Workload: plan.Workload{Replicas: len(values["size"]), Env: []plan.EnvVar{{Name: "SIZE", Value: values["size"]}}, Ports: []plan.Port{{Name: "http", Number: 80}}},
		}},
		Builds: []plan.BuildSpec{{ID: "api", Source: plan.Source{Path: "api"}, Context: ".", Dockerfile: "Dockerfile", Args: map[string]string{"MODE": values["mode"]}}},
	}
	if values["mode"] == "c" {
		p.Services[0].Workload.Command = []string{"serve"}
	}
	return p
}

func TestReach(t *testing.T) {
	start := map[string]string{"size": "9", "mode": "a", "odd": "false"}
	p := shop(start)
	e := why.Of(p, "api")
	var tried []string
	eval := func(_ context.Context, name, value string) (*plan.Plan, error) {
		tried = append(tried, name+"="+value)
		if name == "odd" {
			return nil, errors.New("not that")
		}
		values := map[string]string{}
		for k, v := range start {
			values[k] = v
		}
		values[name] = value
		return shop(values), nil
	}
	if err := e.Reach(t.Context(), p, eval); err != nil {
		t.Fatal(err)
	}
	want := []why.Param{
		{Param: p.Params[0], Fields: []string{"env SIZE", "replicas"}},
		{Param: p.Params[1], Fields: []string{"build args.MODE", "command"}},
	}
	if diff := cmp.Diff(want, e.Params); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"odd"}, e.Unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"size=10", "size=8", "mode=b", "mode=c", "odd=true"}, tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
}

// TestReachEnds: an interrupt is not reported as a value that does not evaluate.
func TestReachEnds(t *testing.T) {
	p := shop(map[string]string{"size": "9", "mode": "a", "odd": "false"})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stopped")
	n := 0
	err := why.Of(p, "api").Reach(ctx, p, func(ctx context.Context, _, _ string) (*plan.Plan, error) {
		n++
		cancel(cause)
		return nil, ctx.Err()
	})
	if !errors.Is(err, cause) || n != 1 {
		t.Errorf("got %v after %d evaluations, want %v after one", err, n, cause)
	}
}

func TestChanged(t *testing.T) {
	a := shop(map[string]string{})
	b := shop(map[string]string{})
	b.Services[0].Pos.Line = 7
	b.Services[0].Placed.By = plan.ByStage
	b.Services[0].Image.Build, b.Builds[0].ID, b.Builds[0].Pos.Line = "web", "web", 9 // the same image, first used by another
	if got, err := why.Changed(a, b, "api"); err != nil || len(got) > 0 {
		t.Errorf("of the same: %q, %v", got, err)
	}
	b.Services[0].Workload.Ports[0].Number = 81
	b.Services[0].Chart = &plan.Chart{Ref: "charts/api", Pos: plan.Pos{Line: 3}}
	b.Services[0].Values = map[string]any{"list": []any{map[string]any{"x": 1}}, "empty": []any{}, "deep": map[string]any{"pos": 1}, "mixed": []any{map[string]any{"name": "n"}, 2}}
	got, err := why.Changed(a, b, "api")
	if diff := cmp.Diff([]string{"chart.ref", "ports http", "values.deep.pos", "values.empty", "values.list", "values.mixed"}, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	if got, err := why.Changed(a, &plan.Plan{}, "api"); err != nil || !cmp.Equal(got, []string{why.There}) {
		t.Errorf("of a service that is gone: %q, %v", got, err)
	}
	if got, err := why.Changed(a, b, "web"); err != nil || len(got) > 0 {
		t.Errorf("of no service: %q, %v", got, err)
	}
}

// TestPlaced: each reason to be in a stage is told, with its place.
func TestPlaced(t *testing.T) {
	at := plan.Pos{File: "Pipelinefile", Line: 3, Col: 1}
	for placed, want := range map[plan.Placement]string{
		{By: plan.ByStage, Pos: at}:    "by its stage =  (Pipelinefile:3:1)",
		{By: plan.ByRule, Pos: at}:     "by the rule for APPLICATION  (Pipelinefile:3:1)",
		{By: plan.ByRule}:              "by the default rule for APPLICATION, as no stage is declared",
		{By: plan.ByLatest}:            "because there is no rule for APPLICATION",
		{By: plan.ByOverride, Pos: at}: "by an override of the environment  (Pipelinefile:3:1)",
	} {
		p := shop(map[string]string{})
		p.Services[0].Placed = placed
		var b strings.Builder
		if err := why.Write(&b, why.Of(p, "api")); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("%+v: %q is not in\n%s", placed, want, b.String())
		}
	}
	if why.Of(shop(nil), "web") != nil {
		t.Error("a service that is not there is explained")
	}
}
