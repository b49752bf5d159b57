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

const sourcesURL = "https://git.test/shop"

func withGitSources() *plan.Plan {
	build := func(id, ref string) plan.BuildSpec {
		return plan.BuildSpec{ID: id, Source: plan.Source{Git: sourcesURL, Ref: ref, Path: id}, Context: ".", Dockerfile: "Dockerfile", Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 1}}
	}
	of := func(id string, skip bool) plan.Service {
		return plan.Service{Name: id, Type: plan.Application, Stage: "apps", Skip: skip, Image: plan.ImageSource{Build: id}}
	}
	base, web := build("base", "main"), build("web", "main")
	web.ImageArgs = map[string]plan.ImageSource{"BASE": {Build: "base"}}
	return &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: "shop"}, Environment: plan.EnvironmentRef{Name: "staging", Kind: plan.KindEnvironment},
		Stages:   []plan.Stage{{Name: "apps"}},
		Builds:   []plan.BuildSpec{base, web, build("api", "main"), build("old", "v1"), build("off", "v2")},
		Services: []plan.Service{of("base", true), of("web", false), of("api", false), of("old", false), of("off", true)},
	}
}

// TestGitSources: a run looks up the commit of a ref once for all services, builds that
// commit, although the branch moves meanwhile, records it, and rolls back to it.
func TestGitSources(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	commits := func(id string) string {
		t.Helper()
		record, err := w.Store.Run(ctx, staging, id)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, b := range record.Plan.Builds {
			out = append(out, b.ID+" "+b.Source.Commit)
		}
		return strings.Join(out, ", ")
	}
	evaluated := withGitSources()
	w.Builder.SetCommit(sourcesURL, "main", "one")
	w.Builder.SetCommit(sourcesURL, "v1", "tagged")
	first, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Plan: evaluated})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := commits(first.ID), "base one, web one, api one, old tagged, off "; got != want {
		t.Errorf("the record has %q, want %q", got, want)
	}
	if n := w.Count("Builder.Commit"); n != 2 {
		t.Errorf("the repository is asked %d times", n)
	}
	if c := evaluated.Builds[0].Source.Commit; c != "" {
		t.Errorf("the plan of the caller has the commit %q", c)
	}
	steps, err := rt.Preview(ctx, runtime.Request{Action: runtime.Deploy, Plan: evaluated})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if want := map[string]string{"web": "one", "api": "one", "old": "tagged"}[s.Service]; s.Commit != want || s.Do == runtime.Deploying {
			t.Errorf("the step %+v has not commit %q", s, want)
		}
	}
	builds := w.Count("Builder.Build")
	w.Builder.SetCommit(sourcesURL, "main", "two")
	second, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Plan: evaluated})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := commits(second.ID), "base two, web two, api two, old tagged, off "; got != want {
		t.Errorf("the record of the next run has %q, want %q", got, want)
	}
	if n := w.Count("Builder.Build") - builds; n != 3 {
		t.Errorf("the next run builds %d images", n)
	}
	back, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, RollbackTo: first.ID})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := commits(back.ID), "base one, web one, api one, old tagged, off "; got != want {
		t.Errorf("it is rolled back to %q, want %q", got, want)
	}
	// A preview uses the branch, in all its refs.
	w.Builder.SetBranch(sourcesURL, "feature")
	w.Builder.SetCommit(sourcesURL, "refs/heads/feature", "three")
	clone(t, w, runtime.CloneRequest{Source: staging, Name: "pr-8", Branch: "feature"})
	asked := w.Count("Builder.HasBranch")
	preview, err := rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: in("pr-8")})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range preview.Plan.Builds[:4] {
		if b.Source.Commit != "three" {
			t.Errorf("the preview builds %s of commit %q", b.ID, b.Source.Commit)
		}
	}
	if n := w.Count("Builder.HasBranch") - asked; n > 2 { // the environment is read again under its lease
		t.Errorf("the repository is asked for its branch %d times", n)
	}
}

// TestGitSourceUnknown: a commit that cannot be found is asked for once, and fails the
// services that are built from it.
func TestGitSourceUnknown(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Builder.Commit" {
			return errors.New("no such branch")
		}
		return nil
	}
	p := withGitSources()
	p.Builds, p.Services = p.Builds[2:3], p.Services[2:3]
	_, err := w.Runtime().Run(t.Context(), runtime.Request{Action: runtime.Deploy, Plan: p})
	var failed *runtime.RunError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || !strings.HasSuffix(failed.Failed[0].Error, "identify image of api: Pipelinefile:3:1: no such branch") {
		t.Fatalf("Run = %v, %+v", err, failed)
	}
	if advice, ok := runtime.AdviceOf(failed.Failed[0].Err); !ok || !strings.Contains(advice.Do, "ref= of git()") {
		t.Errorf("the advice is %+v", advice)
	}
	if n := w.Count("Builder.Commit"); n != 1 {
		t.Errorf("the repository is asked %d times", n)
	}
}
