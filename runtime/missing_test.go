package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// needing adds a service that needs a key of a Secret.
func needing(p *plan.Plan, stage int, name, secret, key string) *plan.Service {
	s := service(p, stage, name, plan.ImageSource{})
	s.Pos = plan.Pos{File: "Pipelinefile", Line: len(p.Services), Col: 1}
	s.Timeout = plan.Duration(2 * time.Minute)
	s.Workload.Env = []plan.EnvVar{{Name: "K", Secret: &plan.SecretRef{Name: secret, Key: key}}}
	return s
}

// waited returns what services were told to wait for, and the warnings of a run.
func waited(events *recorder) (waits, warnings []string) {
	for _, e := range events.events {
		switch b := e.Body.(type) {
		case runtime.WaitingFor:
			if e.Service != "" && strings.Contains(b.What, "Secret") {
				waits = append(waits, e.Service+": "+b.What)
			}
		case runtime.Warned:
			warnings = append(warnings, text(b.Diagnostic))
		}
	}
	return waits, warnings
}

func text(d plan.Diagnostic) string { return d.Pos.String() + ": " + d.Message + "; " + d.Hint }

// TestSecretOfEarlierStage: a Secret that an earlier stage makes is waited for when the
// stage of the service has come, and a preview and a run warn of it, once.
func TestSecretOfEarlierStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := pipeline(2)
		service(p, 1, "maker", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.SecretChart}
		needing(p, 2, "web", "maker", "value")
		const why = "waits for Secret maker (key value)"
		warning := "Pipelinefile:2:1: web needs Secret maker (key value), which namespace shop-staging does not have"
		steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
		must(t, err)
		if s := steps[1]; s.Do != runtime.Deploying || s.Why != why || len(s.Warnings) != 1 || !strings.HasPrefix(text(s.Warnings[0]), warning) {
			t.Errorf("preview: %+v", s)
		}
		var events recorder
		_, err = run(t, w, runtime.Request{Plan: p, Events: events.add})
		must(t, err)
		if _, warnings := waited(&events); len(warnings) != 1 || !strings.HasPrefix(warnings[0], warning) || !strings.Contains(warnings[0], "make value of maker") {
			t.Errorf("warnings of the run: %q", warnings)
		}
		if got := spans(w, "Deployer.Deploy"); !slices.Equal(got, []string{"maker 0s-1s", "web 1s-2s"}) {
			t.Errorf("deploys %v", got)
		}

		// Deployed with it, the service is unchanged, and nobody asks for it again.
		record, err := run(t, w, runtime.Request{Plan: p})
		must(t, err)
		if s := states(record); s["web"] != runtime.Unchanged || w.Count("Deployer.AwaitSecrets") != 1 {
			t.Errorf("again: %v", s)
		}
	})
}

// TestSecretMeanwhile: a service that waits for its Secret holds no slot, so that what is
// beside it goes on, and may be what makes the Secret.
func TestSecretMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := pipeline(2)
		p.Pipeline.DeployParallelism = 1
		for i := range 3 {
			needing(p, 1, fmt.Sprint("web-", i), "maker", "value")
		}
		needing(p, 1, "hand", "by-hand", "key")
		service(p, 1, "maker", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.SecretChart}
		service(p, 2, "last", plan.ImageSource{})
		time.AfterFunc(time.Minute, func() { w.Deployer.SetSecret("shop-staging", "by-hand", "key") })
		var events recorder
		record, err := run(t, w, runtime.Request{Plan: p, Events: events.add})
		must(t, err)
		want := []string{"hand 1m0s-1m1s", "last 1m1s-1m2s", "maker 0s-1s", "web 1s-2s", "web 2s-3s", "web 3s-4s"}
		got := spans(w, "Deployer.Deploy")
		for i, s := range got {
			if strings.HasPrefix(s, "web-") { // in any order
				got[i] = "web" + s[len("web-0"):]
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("deploys (-want +got):\n%s", diff)
		}
		waits, warnings := waited(&events)
		if !slices.Contains(waits, "hand: Secret by-hand (key key)") || len(warnings) != 2 {
			t.Errorf("told: %q, warnings %q", waits, warnings)
		}
		if s := record.Services[3]; s.End.Sub(s.Start) != 61*time.Second {
			t.Errorf("hand took %s", s.End.Sub(s.Start))
		}
	})
}

// TestSecretsNeverCome: when the time of one service is over, all that wait fail together,
// and what is missing is told once, by Secret.
func TestSecretsNeverCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := pipeline(2)
		for i := range 16 {
			needing(p, 1, fmt.Sprint("web-", i), "made", "key")
		}
		needing(p, 1, "patient", "other", "a").Timeout = plan.Duration(time.Hour)
		service(p, 1, "beside", plan.ImageSource{})
		needing(p, 2, "later", "made", "second")
		var events recorder
		began := time.Now()
		record, err := run(t, w, runtime.Request{Plan: p, Events: events.add})
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("the run took %s", took)
		}
		var failed *runtime.RunError
		var missing *runtime.SecretsError
		if !errors.As(err, &failed) || len(failed.Failed) != 17 || !errors.Is(err, runtime.ErrTimeout) || !errors.As(err, &missing) {
			t.Fatalf("the run ends with %v", err)
		}
		if s := states(record); s["beside"] != runtime.Done || s["later"] != runtime.Cancelled {
			t.Errorf("states %v", s)
		}
		causes := runtime.Causes(failed.Failed)
		if len(causes) != 1 || causes[0].Text != "Secrets that services need are missing in namespace shop-staging" {
			t.Errorf("%d causes, the first is %q", len(causes), causes[0].Text)
		}
		if got, want := failed.Failed[0].Error, "deploy web-0: timed out after 2m0s: missing in namespace shop-staging: Secret made (keys key, second)"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		_, warnings := waited(&events)
		if len(warnings) != 2 || !strings.Contains(warnings[0], "web-0, web-1, web-2, web-3, web-4 and 12 more need Secret made (keys key, second), which") {
			t.Errorf("warnings %q", warnings)
		}
		for _, e := range events.events {
			if b, ok := e.Body.(runtime.Warned); ok && len(b.Diagnostic.Related) > 5 {
				t.Errorf("%d positions with a warning", len(b.Diagnostic.Related))
			}
		}
		if len(w.Deployer.Releases("shop-staging")) != 1 {
			t.Errorf("releases: %v", w.Deployer.Releases("shop-staging"))
		}
	})
}

// TestSecretWaitEnds: a wait ends with the first failure elsewhere, with an interrupt, and
// with the time of the run, and leaves nothing half done.
func TestSecretWaitEnds(t *testing.T) {
	for _, test := range []struct {
		name   string
		req    runtime.Request
		ctx    func(context.Context) (context.Context, func())
		took   time.Duration
		broken runtime.State
		reason string
		done   bool
	}{
		{name: "failure", took: time.Second, broken: runtime.Failed, reason: "service broken failed"},
		{name: "failure, keep going", req: runtime.Request{KeepGoing: true}, took: 31 * time.Second, broken: runtime.Failed, reason: "not deployed yet", done: true},
		{name: "interrupt", took: 500 * time.Millisecond, broken: runtime.Cancelled, reason: "context deadline exceeded", ctx: func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, 500*time.Millisecond)
		}},
		{name: "timeout of the run", req: runtime.Request{Timeout: 500 * time.Millisecond}, took: 500 * time.Millisecond, broken: runtime.Cancelled, reason: "timed out after 500ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runtimetest.NewWorld()
				w.Takes = second
				p := pipeline(1)
				needing(p, 1, "web", "made", "key")
				service(p, 1, "broken", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.CrashingChart}
				time.AfterFunc(30*time.Second, func() { w.Deployer.SetSecret("shop-staging", "made", "key") })
				ctx, stop := t.Context(), func() {}
				if test.ctx != nil {
					ctx, stop = test.ctx(ctx)
				}
				defer stop()
				req := test.req
				req.Action, req.Environment, req.Plan = runtime.Deploy, staging, p
				var events recorder
				req.Events = events.add
				began := time.Now()
				record, err := w.Runtime().Run(ctx, req)
				checkRun(t, record, err, events.events)
				if took := time.Since(began); took != test.took {
					t.Errorf("the run took %s, want %s", took, test.took)
				}
				web := record.Services[0]
				if (web.State == runtime.Done) != test.done || !test.done && web.State != runtime.Cancelled || web.Reason != test.reason {
					t.Errorf("web: %+v", web)
				}
				if s := record.Services[1]; s.State != test.broken {
					t.Errorf("broken: %+v", s)
				}
				if _, there := w.Deployer.Releases("shop-staging")["web"]; there != test.done {
					t.Errorf("web was deployed: %v", there)
				}
			})
		})
	}
}

// TestSecretOfGuard: a job that runs before a stop waits for its Secret, too; when there is
// nothing to stop it waits for nothing.
func TestSecretOfGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := pipeline(1)
		service(p, 1, "api", plan.ImageSource{})
		needing(p, 1, "on-stop", "made", "key").Workload.Job = &plan.JobSpec{On: "stop"}
		_, err := run(t, w, runtime.Request{Plan: p})
		must(t, err)
		time.AfterFunc(30*time.Second, func() { w.Deployer.SetSecret("shop-staging", "made", "key") })
		began := time.Now()
		_, err = run(t, w, runtime.Request{Action: runtime.Stop})
		must(t, err)
		if took := time.Since(began).Truncate(time.Second); took != 32*time.Second {
			t.Errorf("the stop took %s", took)
		}
		w.Deployer.SetSecret("shop-staging", "made")
		began = time.Now()
		_, err = run(t, w, runtime.Request{Action: runtime.Stop})
		must(t, err)
		if took := time.Since(began).Truncate(time.Second); took != 0 {
			t.Errorf("the stop of what is stopped took %s", took)
		}
	})
}

// TestSecretWaitIsTakenOver: a newer run of a session waits itself, and the older one ends.
func TestSecretWaitIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = second
		p := pipeline(1)
		needing(p, 1, "web", "made", "key")
		app(p, 1, "api")
		time.AfterFunc(30*time.Second, func() { w.Deployer.SetSecret("shop-staging", "made", "key") })
		r := during(t, w, p, change{0, nil}, change{10 * time.Second, edit("api", "2")})
		if !errors.Is(r[0].err, runtime.ErrStale) || !r[0].record.Stale || states(r[0].record)["web"] != runtime.Cancelled {
			t.Errorf("the first run: %v, %v", states(r[0].record), r[0].err)
		}
		if end := r[0].record.End.Sub(r[0].record.Start).Truncate(time.Second); end > 11*time.Second {
			t.Errorf("the first run ended after %s", end)
		}
		if r[1].err != nil || states(r[1].record)["web"] != runtime.Done || w.Deployer.Releases("shop-staging")["web"].Revision != 1 {
			t.Errorf("the second run: %v, %v", states(r[1].record), r[1].err)
		}
	})
}
