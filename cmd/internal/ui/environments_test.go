package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func TestEnvironmentsText(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	envs := inspect.Environments{Environments: []inspect.Environment{
		{Pipeline: "shop", Name: "staging", Kind: "environment", Services: 12, Skipped: []string{"mail"}},
		{Pipeline: "shop", Name: "x-1a2b", Kind: "preview", Source: "staging", Branch: "x", Services: 12, Expires: now.Add(71 * time.Hour)},
		{Pipeline: "shop", Name: "old", Kind: "clone", Source: "staging", Services: 1, Expires: now.Add(-time.Hour)},
	}, Damaged: []inspect.Damaged{{Pipeline: "shop", Name: "broken", Object: "ConfigMap shop-broken/pipe.shop.broken", Reason: "its field plan: gzip: \x1b[31minvalid header"}}}
	status := inspect.Status{At: now, Environment: inspect.Environment{Pipeline: "shop", Name: "x-1a2b", Namespace: "shop-x-1a2b", Kind: "preview", Source: "staging",
		Branch: "x", Expires: now.Add(90 * time.Minute), Skipped: []string{"mail", "web"}},
		Stages: []inspect.Stage{
			{Name: "data", Services: []inspect.Service{{Name: "db", Health: inspect.Healthy, Want: 1, Ready: 1, Revision: 2, Updated: now.Add(-50 * time.Hour), Image: "r/postgres@sha256:0123456789abcdef"}}},
			{Name: "empty"},
			{Name: "apps", Services: []inspect.Service{
				{Name: "api", Health: inspect.Degraded, Reason: "api-1: CrashLoopBackOff: \x1b[31mexit 1", Want: 2, Ready: 1, Revision: 7, Updated: now.Add(-40 * time.Second), Image: "r/api:1", Restarts: 4},
				{Name: "mail", Health: inspect.Absent, Skipped: "skip = True"},
				{Name: "web", Health: inspect.Healthy, Skipped: "skipped in environment x", Want: 3, Ready: 3, Revision: 1, Updated: now.Add(-5 * time.Minute), Drift: []string{"it has 3 replicas, the plan has 2"}},
				{Name: "late", Health: inspect.Absent, Drift: []string{"it is not deployed"}},
			}},
		},
		Others: []inspect.Service{{Name: "gone", Health: inspect.Healthy, Want: 1, Ready: 1, Revision: 3, Updated: now.Add(-3 * time.Hour), Drift: []string{"the plan has no such service any more"}},
			{Name: "operator", Namespace: "operators", Health: inspect.Healthy, Want: 1, Ready: 1, Revision: 3, Updated: now.Add(-3 * time.Hour)}},
	}
	history := inspect.History{Pipeline: "shop", Environment: "staging", Runs: []runtime.RunRecord{
		{ID: "20260102-030405-aa", Action: runtime.Deploy, By: "ana@laptop", Commit: "0123456789abcdef0123", Start: now, End: now.Add(83 * time.Second), Pruned: []string{"gone"}, Moved: []runtime.Place{{Namespace: "shop-staging", Name: "operator"}},
			Services: []runtime.ServiceRecord{{State: runtime.Done}, {State: runtime.Unchanged}}},
		{ID: "20260102-030400-bb", Action: runtime.Deploy, By: "bob@ci", Start: now.Add(-time.Hour), End: now.Add(-time.Hour + time.Second), RollbackTo: "20260101-000000-cc",
			Services: []runtime.ServiceRecord{{State: runtime.Failed}}, Error: "service api failed: it crashes\nand more"},
		{ID: "20260101-000000-cc", Action: runtime.Stop, By: "bob@ci", Start: now.Add(-27 * time.Hour)},
	}}
	going := Going{Environment: runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}, Whole: true, Further: []string{"operators"}, Releases: []runtime.Place{
		{Namespace: "shop-staging", Name: "db"}, {Namespace: "shop-staging", Name: "gone"}, {Namespace: "shop-staging", Name: "mail"}, {Namespace: "operators", Name: "operator"}, {Namespace: "shop-staging", Name: "operator"},
	}, Plan: &plan.Plan{Services: []plan.Service{
		{Name: "db", Type: plan.Database, Workload: plan.Workload{Database: &plan.DatabaseSpec{}}}, {Name: "mail", Type: plan.Container, Skip: true}, {Name: "operator", Type: plan.Helm, Namespace: "operators"},
	}}}
	kept, some, nothing := going, going, going
	kept.KeepVolumes = true
	some.Whole, some.Releases = false, []runtime.Place{{Namespace: "shop-staging", Name: "mail"}}
	nothing.Releases, nothing.Plan = nil, nil
	diff := inspect.Diff{Namespace: "shop-staging", Services: []inspect.ServiceDiff{
		{Service: "db", Do: runtime.Unchanged}, {Service: "mail", Stage: "apps", Do: runtime.Skipped, Overridden: "moved here from stage data by environment staging"},
		{Service: "api", Do: runtime.Deploying, Why: "changed", Objects: []inspect.ObjectDiff{{Kind: "Deployment", Namespace: "shop-staging", Name: "api", Do: "change", Diff: "-a: 1\n+a: 2\n"}}},
		{Service: "web", Stage: "apps", Do: runtime.Deploying, Why: "forced", Overridden: "no longer skipped by environment staging"},
		{Service: "gone", Do: runtime.Deleting, Why: "the plan has no such service any more"},
	}}
	var b strings.Builder
	for _, part := range []struct {
		name  string
		write func() error
	}{
		{"environments", func() error { return Environments(&b, envs, now) }},
		{"no environments", func() error { return Environments(&b, inspect.Environments{}, now) }},
		{"made", func() error { return Made(&b, envs.Environments[1]) }},
		{"status", func() error { return Status(&b, status) }},
		{"history", func() error { return History(&b, history) }},
		{"no history", func() error { return History(&b, inspect.History{Pipeline: "shop", Environment: "new"}) }},
		{"delete", func() error { return ListGoing(&b, going) }},
		{"delete, volumes kept", func() error { return ListGoing(&b, kept) }},
		{"delete a service", func() error { return ListGoing(&b, some) }},
		{"delete nothing", func() error { return ListGoing(&b, nothing) }},
		{"diff", func() error { return Diff(&b, diff) }},
		{"no diff", func() error { return Diff(&b, inspect.Diff{Namespace: "shop-staging"}) }},
	} {
		b.WriteString("== " + part.name + "\n")
		if err := part.write(); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "environments", b.String())
}
