package inspect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// shop is an environment with a service in each state.
func shop() *runtime.Environment {
	web := func(name, stage string) plan.Service {
		return plan.Service{Name: name, Type: plan.Application, Stage: stage, Workload: plan.Workload{Replicas: 2}}
	}
	p := &plan.Plan{
		Pipeline: plan.Pipeline{Name: "shop"},
		Stages:   []plan.Stage{{Name: "data", Order: 10}, {Name: "apps", Order: 20}},
		Services: []plan.Service{
			{Name: "db", Type: plan.Database, Stage: "data"},
			{Name: "migrate", Type: plan.Job, Stage: "data", Workload: plan.Workload{Job: &plan.JobSpec{On: "deploy"}}},
			{Name: "goodbye", Type: plan.Job, Stage: "data", Workload: plan.Workload{Job: &plan.JobSpec{On: "delete"}}},
			web("good", "apps"), web("rolling", "apps"), web("crashing", "apps"), web("failed", "apps"), web("pending", "apps"),
			web("stopped", "apps"), web("missing", "apps"), web("foreign", "apps"), web("scaled", "apps"), web("other-image", "apps"), web("unconfirmed", "apps"),
			{Name: "mail", Type: plan.Container, Stage: "apps", Skip: true, SkipWhy: &plan.Reason{Text: "skip = True"}},
		},
	}
	return &runtime.Environment{
		Key: runtime.EnvironmentKey{Pipeline: "shop", Name: "staging"}, Kind: "environment", Plan: p,
		Overrides: map[string]runtime.Override{"good": {Stage: "data"}},
		Images:    map[string]string{"good": "r/good@sha256:1", "other-image": "r/other@sha256:1"},
	}
}

// live returns a release whose workload has these pods.
func live(name, image string, d runtime.Deployed, want, ready int, settled bool, pods ...inspect.LivePod) *inspect.Live {
	if d.Status == "" {
		d.Status = "deployed"
	}
	if d.Revision == 0 {
		d.Revision = 3
	}
	return &inspect.Live{Deployed: &d, Updated: now.Add(-time.Hour), Pods: pods,
		Workloads: []inspect.Workload{{Kind: "Deployment", Name: name, Want: want, Ready: ready, Image: image, Settled: settled}}}
}

func TestStatus(t *testing.T) {
	fine := runtime.Deployed{Fingerprint: "sha256:1", Ready: true}
	crash := inspect.LivePod{Name: "crashing-1", Trouble: "CrashLoopBackOff: exit 1", Restarts: 4}
	env := shop()
	env.Plan.Services = append(env.Plan.Services,
		plan.Service{Name: "operator", Stage: "apps", Type: plan.Helm, Chart: &plan.Chart{}, Namespace: "operators"},
		plan.Service{Name: "moved", Stage: "apps", Type: plan.Helm, Chart: &plan.Chart{}, Namespace: "{environment}-new"})
	all := make(map[runtime.Place]*inspect.Live)
	all[runtime.Place{Namespace: "operators", Name: "operator"}] = live("operator", "r", fine, 1, 1, true)
	all[runtime.Place{Namespace: "operators", Name: "moved"}] = live("moved", "r", fine, 1, 1, true)
	for name, is := range map[string]*inspect.Live{
		"db":          live("db", "postgres@sha256:1", fine, 1, 1, true),
		"migrate":     {Deployed: &runtime.Deployed{Fingerprint: "sha256:1", Ready: true, Status: "deployed", Revision: 1}},
		"good":        live("good", "r/good@sha256:1", fine, 2, 2, true, inspect.LivePod{Name: "good-1", Ready: true}),
		"rolling":     live("rolling", "r", fine, 2, 1, false),
		"crashing":    live("crashing", "r", fine, 2, 0, true, crash),
		"failed":      live("failed", "r", runtime.Deployed{Fingerprint: "sha256:1", Status: "failed"}, 2, 2, true),
		"pending":     live("pending", "r", runtime.Deployed{Fingerprint: "sha256:1", Status: "pending-upgrade"}, 2, 2, true),
		"stopped":     live("stopped", "r", runtime.Deployed{Fingerprint: "sha256:1", Stopped: true}, 0, 0, true),
		"foreign":     live("foreign", "r", runtime.Deployed{}, 2, 2, true),
		"scaled":      live("scaled", "r", fine, 5, 5, true),
		"other-image": live("other-image", "r/other@sha256:2", fine, 2, 2, true),
		"unconfirmed": live("unconfirmed", "r", runtime.Deployed{Fingerprint: "sha256:1"}, 2, 2, true),
		"gone":        live("gone", "r", fine, 1, 1, true),
		"theirs":      live("theirs", "r", runtime.Deployed{}, 1, 1, true),
		"no-release":  {},
	} {
		all[runtime.Place{Namespace: env.Key.Namespace(), Name: name}] = is
	}
	st, err := inspect.StatusOf(env, all, now)
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Stage, Service string // the service with its namespace, if that is another one
		Health         inspect.Health
		Reason, Drift  string
	}
	var got []line
	add := func(stage string, services []inspect.Service) {
		for _, s := range services {
			l := line{stage, strings.TrimPrefix(s.Namespace+"/"+s.Name, "/"), s.Health, s.Reason, ""}
			for _, d := range s.Drift {
				l.Drift += d
			}
			got = append(got, l)
		}
	}
	for _, s := range st.Stages {
		add(s.Name, s.Services)
	}
	add("", st.Others)
	want := []line{
		{"data", "db", inspect.Healthy, "", ""},
		{"data", "migrate", inspect.Healthy, "", ""},
		{"data", "goodbye", inspect.Waiting, "", ""}, // it runs later
		{"data", "good", inspect.Healthy, "", ""},    // in the stage of the override (S6)
		{"apps", "rolling", inspect.Changing, "1 of 2 pods are ready", ""},
		{"apps", "crashing", inspect.Degraded, "crashing-1: CrashLoopBackOff: exit 1", ""},
		{"apps", "failed", inspect.Failed, "its last revision failed", ""},
		{"apps", "pending", inspect.Changing, "its release is pending-upgrade", ""},
		{"apps", "stopped", inspect.Stopped, "", ""},
		{"apps", "missing", inspect.Absent, "", "it is not deployed"},
		{"apps", "foreign", inspect.Healthy, "", "revision 3 is not of pipe"},
		{"apps", "scaled", inspect.Healthy, "", "it has 5 replicas, the plan has 2"},
		{"apps", "other-image", inspect.Healthy, "", "it runs another image than was deployed: r/other@sha256:2"},
		{"apps", "unconfirmed", inspect.Healthy, "", "the last deploy did not become ready"},
		{"apps", "mail", inspect.Absent, "", ""}, // it is skipped
		{"apps", "operators/operator", inspect.Healthy, "", ""},
		{"apps", env.Key.Name + "-new/moved", inspect.Absent, "", "it is not deployed"},
		{"", "gone", inspect.Healthy, "", "the plan has no such service any more"},
		{"", "operators/moved", inspect.Healthy, "", "the plan has the service in namespace " + env.Key.Name + "-new"},
		{"", "theirs", inspect.Healthy, "", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	counts := map[inspect.Health]int{inspect.Healthy: 8, inspect.Changing: 2, inspect.Degraded: 1, inspect.Failed: 1, inspect.Stopped: 1, inspect.Waiting: 1, inspect.Absent: 2}
	if diff := cmp.Diff(counts, st.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"mail"}, st.Environment.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

// TestStatusOfNothing: an environment that was never deployed has no stages.
func TestStatusOfNothing(t *testing.T) {
	st, err := inspect.StatusOf(&runtime.Environment{Key: runtime.EnvironmentKey{Pipeline: "shop", Name: "new"}}, nil, now)
	if err != nil || len(st.Stages) > 0 || len(st.Others) > 0 {
		t.Errorf("StatusOf = %+v, %v", st, err)
	}
}
