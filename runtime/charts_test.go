package runtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

const chartsURL = "https://git.test/charts"

func withGitChart() *plan.Plan {
	return &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "staging", Kind: plan.KindEnvironment},
		Stages: []plan.Stage{{Name: "charts"}},
		Services: []plan.Service{
			{Name: "queue", Type: plan.Helm, Stage: "charts", Chart: &plan.Chart{Git: chartsURL, Ref: "nats", Version: "main"}},
			{Name: "cache", Type: plan.Helm, Stage: "charts", Chart: &plan.Chart{Git: chartsURL, Ref: "redis", Version: "main"}},
			{Name: "off", Type: plan.Helm, Stage: "charts", Skip: true, Chart: &plan.Chart{Git: "https://git.test/other", Ref: ".", Version: "main"}},
		},
	}
}

// TestGitCharts: a run looks up the commit of a chart once, records it, and rolls back to it.
func TestGitCharts(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	run := func(req runtime.Request) *runtime.RunRecord {
		t.Helper()
		record, err := rt.Run(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	commits := func(key runtime.EnvironmentKey, id string) string {
		t.Helper()
		record, err := w.Store.Run(ctx, key, id)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range record.Plan.Services {
			out = append(out, s.Name+" "+s.Chart.Commit)
		}
		return strings.Join(out, ", ")
	}
	evaluated := withGitChart()
	w.Builder.SetCommit(chartsURL, "main", "one")
	first := run(runtime.Request{Action: runtime.Deploy, Plan: evaluated})
	if got := commits(staging, first.ID); got != "queue one, cache one, off " {
		t.Errorf("the record has %q", got)
	}
	if n := w.Count("Builder.Commit"); n != 1 {
		t.Errorf("the repository is asked %d times", n)
	}
	if c := evaluated.Services[0].Chart; c.Commit != "" {
		t.Errorf("the plan of the caller has the commit %q", c.Commit)
	}
	w.Builder.SetCommit(chartsURL, "main", "two")
	second := run(runtime.Request{Action: runtime.Deploy, Plan: evaluated})
	if got := commits(staging, second.ID); got != "queue two, cache two, off " {
		t.Errorf("the record of the next run has %q", got)
	}
	back := run(runtime.Request{Action: runtime.Deploy, Environment: staging, RollbackTo: first.ID})
	if got := commits(staging, back.ID); got != "queue one, cache one, off " {
		t.Errorf("it is rolled back to %q", got)
	}
	// The plan that is stored now has a commit: the next deploy of it asks again.
	again := run(runtime.Request{Action: runtime.Deploy, Environment: staging})
	if got := commits(staging, again.ID); got != "queue two, cache two, off " {
		t.Errorf("the record after the rollback has %q", got)
	}
	// A preview uses the branch.
	w.Builder.SetBranch(chartsURL, "feature")
	w.Builder.SetCommit(chartsURL, "refs/heads/feature", "three")
	clone(t, w, runtime.CloneRequest{Source: staging, Name: "pr-7", Branch: "feature"})
	preview := run(runtime.Request{Action: runtime.Deploy, Environment: in("pr-7")})
	if got := commits(in("pr-7"), preview.ID); !strings.HasPrefix(got, "queue three, cache three") {
		t.Errorf("the record of the preview has %q", got)
	}
}

// TestGitChartUnknown: a chart whose commit cannot be found fails its services before
// anything is written.
func TestGitChartUnknown(t *testing.T) {
	w := runtimetest.NewWorld()
	broken := errors.New("no such branch")
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Builder.Commit" {
			return broken
		}
		return nil
	}
	steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: withGitChart()})
	if err == nil || len(steps) != 3 || steps[0].Do != runtime.Failed || !strings.Contains(steps[0].Why, "chart nats of queue: no such branch") {
		t.Errorf("Preview = %+v, %v", steps, err)
	}
	_, err = w.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: withGitChart()})
	if err == nil || len(w.Deployer.Releases("shop-staging")) > 0 {
		t.Errorf("Run = %v, and deployed %v", err, w.Deployer.Releases("shop-staging"))
	}
	if advice, ok := runtime.AdviceOf(err); !ok || !strings.Contains(advice.Do, "ref= of git()") {
		t.Errorf("the advice is %+v", advice)
	}
}
