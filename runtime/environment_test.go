package runtime_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// skippedIn deploys an environment and returns which services that left out.
func skippedIn(t *testing.T, w *runtimetest.World, key runtime.EnvironmentKey, p *plan.Plan) string {
	t.Helper()
	record, err := run(t, w, runtime.Request{Environment: key, Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range record.Services {
		if s.State == runtime.Skipped {
			names = append(names, s.Service)
		}
	}
	return strings.Join(names, " ")
}

func in(name string) runtime.EnvironmentKey {
	return runtime.EnvironmentKey{Pipeline: "shop", Name: name}
}

func clone(t *testing.T, w *runtimetest.World, req runtime.CloneRequest) *runtime.Environment {
	t.Helper()
	env, err := w.Runtime().Clone(t.Context(), req)
	if err != nil {
		t.Fatalf("Clone(%s as %s) = %v", req.Source.Name, req.Name, err)
	}
	return env
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSkipOverrides: overrides live with the environment and go before the file (E4).
func TestSkipOverrides(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	p := skipping()
	if got := skippedIn(t, w, staging, p); got != "one-skipped two-skipped three-skipped" {
		t.Errorf("the file skips %q", got)
	}
	must(t, rt.Skip(ctx, staging, "one", "two"))
	must(t, rt.Unskip(ctx, staging, "two-skipped"))
	if got := skippedIn(t, w, staging, p); got != "one one-skipped two three-skipped" {
		t.Errorf("with overrides %q are skipped", got)
	}
	// Another environment is as the file says.
	if got := skippedIn(t, w, in("production"), p); got != "one-skipped two-skipped three-skipped" {
		t.Errorf("in another environment %q are skipped", got)
	}
	// The same holds without the file.
	record, err := run(t, w, runtime.Request{Action: runtime.Restart})
	must(t, err)
	if s := states(record); s["one"] != runtime.Skipped || s["two-skipped"] != runtime.Done {
		t.Errorf("a restart ended with %v", s)
	}
	if r := record.Services[0]; r.Reason != "skipped in environment staging" {
		t.Errorf("service %s is skipped as %q", r.Service, r.Reason)
	}
	must(t, rt.Unskip(ctx, staging, "one", "two"))
	if got := skippedIn(t, w, staging, p); got != "one-skipped three-skipped" {
		t.Errorf("after unskip %q are skipped", got)
	}
	if err := rt.Skip(ctx, staging, "three", "tree"); err == nil || !strings.Contains(err.Error(), `no service "tree" (did you mean "three"?)`) {
		t.Errorf("Skip of what is not there = %v", err)
	}
	if got := skippedIn(t, w, staging, p); got != "one-skipped three-skipped" {
		t.Errorf("a wrong Skip has skipped %q", got)
	}
	if err := rt.Skip(ctx, in("nowhere"), "one"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Skip in no environment = %v", err)
	}
}

// TestSkipGone: an override of a service that the file no longer has does no
// harm, waits for it, and can be taken back.
func TestSkipGone(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	p, smaller := skipping(), skipping()
	smaller.Services = slices.DeleteFunc(smaller.Services, func(s plan.Service) bool { return s.Name == "two" })
	skippedIn(t, w, staging, p)
	must(t, rt.Skip(ctx, staging, "two"))
	if got := skippedIn(t, w, staging, smaller); got != "one-skipped two-skipped three-skipped" {
		t.Errorf("%q are skipped", got)
	}
	if got := skippedIn(t, w, staging, p); got != "one-skipped two two-skipped three-skipped" {
		t.Errorf("when it is back, %q are skipped", got)
	}
	skippedIn(t, w, staging, smaller)
	if err := rt.Skip(ctx, staging, "two"); err == nil {
		t.Errorf("Skip of what the file no longer has = nil")
	}
	must(t, rt.Unskip(ctx, staging, "two"))
	if got := skippedIn(t, w, staging, p); got != "one-skipped two-skipped three-skipped" {
		t.Errorf("taken back, %q are skipped", got)
	}
}

// TestMove: an environment can override the stage of a service (S6).
func TestMove(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	w.Takes = func(op, subject string) time.Duration { return 0 }
	p := skipping()
	skippedIn(t, w, staging, p)
	must(t, rt.Move(ctx, staging, "3", "one"))
	env, err := w.Store.Environment(ctx, staging)
	must(t, err)
	effective, err := env.Effective()
	must(t, err)
	if s := effective.Service("one"); s.Stage != "3" || s.Placed.By != plan.ByOverride {
		t.Errorf("moved, it is in %s by %s", s.Stage, s.Placed.By)
	}
	var order []string
	for _, s := range effective.Services {
		order = append(order, s.Name)
	}
	if got := strings.Join(order, " "); got != "one-skipped two two-skipped one three three-skipped" {
		t.Errorf("the order is %s", got)
	}
	if p.Service("one").Stage != "1" || env.Plan.Service("one").Stage != "1" {
		t.Errorf("the plan itself was changed")
	}
	record, err := run(t, w, runtime.Request{Plan: p, Force: true})
	must(t, err)
	if got := record.Services[3]; got.Service != "one" || got.Stage != "3" || got.State != runtime.Done {
		t.Errorf("the run had %+v", got)
	}
	// A stage that is gone is an error, as S4 says, and tells what to do.
	without := pipeline(2)
	app(without, 1, "one")
	_, err = w.Runtime().Run(ctx, runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: without})
	if err == nil || !strings.Contains(err.Error(), `environment staging moves service one to stage "3", which pipeline shop no longer has`) {
		t.Errorf("Run = %v", err)
	}
	if err := rt.Move(ctx, staging, "33", "one"); err == nil || !strings.Contains(err.Error(), `no stage "33"; it has 1, 2, 3`) {
		t.Errorf("Move to no stage = %v", err)
	}
	must(t, rt.Move(ctx, staging, "", "one"))
	if env, err = w.Store.Environment(ctx, staging); err != nil || len(env.Overrides) != 0 {
		t.Errorf("moved back: %v, %v", env.Overrides, err)
	}
}

// TestClone: pipe clone makes an environment with the same services and
// parameters and every override of its source; each service skipped in the source,
// by the file or by an override, is skipped in it. Nothing is deployed (E2).
func TestClone(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	p := skipping()
	p.Params = []plan.Param{{Name: "title", Value: "Shop"}, {Name: "size", Value: "1", Default: true}}
	skippedIn(t, w, staging, p)
	must(t, rt.Skip(ctx, staging, "one"))
	must(t, rt.Unskip(ctx, staging, "two-skipped"))
	must(t, rt.Move(ctx, staging, "3", "two"))

	env := clone(t, w, runtime.CloneRequest{Source: staging, Name: "copy"})
	if env.Kind != "clone" || env.Source != "staging" || !env.Expires.IsZero() {
		t.Errorf("cloned %+v", env)
	}
	if diff := cmp.Diff(map[string]string{"title": "Shop"}, env.Params()); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	want := plan.EnvironmentRef{Name: "copy", Kind: "clone", Source: "staging"}
	ref := want
	if ref.Namespace = "shop-copy"; env.Ref() != ref || env.Plan.Environment != want {
		t.Errorf("it is evaluated as %+v, and its plan is of %+v", env.Ref(), env.Plan.Environment)
	}
	if left := w.Deployer.Releases("shop-copy"); len(left) != 0 {
		t.Errorf("cloning has deployed %v", slices.Collect(maps.Keys(left)))
	}

	// What the source does from now on does not matter to the clone, and the
	// other way round.
	must(t, rt.Unskip(ctx, staging, "one", "three-skipped"))
	if got := skippedIn(t, w, in("copy"), nil); got != "one one-skipped three-skipped" {
		t.Errorf("the clone skips %q", got)
	}
	must(t, rt.Unskip(ctx, in("copy"), "one", "one-skipped"))
	if got := skippedIn(t, w, staging, p); got != "one-skipped" {
		t.Errorf("the source skips %q", got)
	}
	// A file that does not skip it any more does not unskip what was skipped.
	p2 := skipping()
	p2.Services[5].Skip = false
	if got := skippedIn(t, w, in("copy"), p2); got != "three-skipped" {
		t.Errorf("with another file the clone skips %q", got)
	}

	// A clone of a clone is like that clone.
	third := clone(t, w, runtime.CloneRequest{Source: in("copy"), Name: "third"})
	if third.Source != "copy" {
		t.Errorf("the clone of a clone comes from %s", third.Source)
	}
	if got := skippedIn(t, w, in("third"), nil); got != "three-skipped" {
		t.Errorf("the clone of the clone skips %q", got)
	}

	_, err := rt.Clone(ctx, runtime.CloneRequest{Source: staging, Name: "copy"})
	if !errors.Is(err, runtime.ErrConflict) || !strings.Contains(err.Error(), "environment copy of pipeline shop already exists") {
		t.Errorf("Clone to what is there = %v", err)
	}
	if _, err = rt.Clone(ctx, runtime.CloneRequest{Source: in("nowhere"), Name: "x"}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Clone of nothing = %v", err)
	}
	for _, name := range []string{"", "Copy", "-x", "x-", "a/b", strings.Repeat("x", 59)} {
		if _, err = rt.Clone(ctx, runtime.CloneRequest{Source: staging, Name: name}); err == nil {
			t.Errorf("Clone as %q = nil", name)
		}
	}
}

// TestCloneOfOthers: charts and manifests of others that are skipped in the source are
// skipped in its clones and previews; the others are deployed in the namespaces of these,
// also those with a namespace of their own (E2, E3, E9).
func TestCloneOfOthers(t *testing.T) {
	w := runtimetest.NewWorld()
	p := pipeline(1)
	for _, s := range []plan.Service{
		{Name: "chart", Type: plan.Helm, Chart: &plan.Chart{Ref: "charts/one"}},
		{Name: "chart-apart", Type: plan.Helm, Chart: &plan.Chart{Ref: "charts/one"}, Namespace: "{pipeline}-{environment}-apart"},
		{Name: "chart-skipped", Type: plan.Helm, Chart: &plan.Chart{Ref: "charts/one"}, Skip: true},
		{Name: "objects", Type: plan.Manifests, Manifests: []plan.ManifestSource{{File: "k8s/a.yaml"}}},
		{Name: "objects-overridden", Type: plan.Manifests, Manifests: []plan.ManifestSource{{File: "k8s/b.yaml"}}},
		{Name: "objects-skipped", Type: plan.Manifests, Manifests: []plan.ManifestSource{{File: "k8s/c.yaml"}}, Skip: true},
	} {
		s.Stage = "1"
		p.Services = append(p.Services, s)
	}
	const skipped = "chart-skipped objects-overridden objects-skipped"
	must(t, func() error { _, err := run(t, w, runtime.Request{Plan: p}); return err }())
	must(t, w.Runtime().Skip(t.Context(), staging, "objects-overridden"))
	if got := skippedIn(t, w, staging, p); got != skipped {
		t.Fatalf("the source skips %q", got)
	}
	clone(t, w, runtime.CloneRequest{Source: staging, Name: "copy"})
	clone(t, w, runtime.CloneRequest{Source: in("copy"), Name: "pr-7", Branch: "feature", TTL: time.Hour})
	names := func(namespace string) string {
		return strings.Join(slices.Sorted(maps.Keys(w.Deployer.Releases(namespace))), " ")
	}
	for _, name := range []string{"copy", "pr-7"} {
		if got := skippedIn(t, w, in(name), nil); got != skipped {
			t.Errorf("%s skips %q", name, got)
		}
		if got := names("shop-" + name); got != "chart objects" {
			t.Errorf("%s has %q in its namespace", name, got)
		}
		if got := names("shop-" + name + "-apart"); got != "chart-apart" {
			t.Errorf("%s has %q in the other namespace", name, got)
		}
	}
	if got := names("shop-staging"); got != "chart objects objects-overridden" {
		t.Errorf("the source has %q now", got)
	}
}

// TestPreviewEnvironment: a preview is a clone in which git sources that have the branch use
// it; skipped services stay skipped (E3).
func TestPreviewEnvironment(t *testing.T) {
	w := runtimetest.NewWorld()
	rt, ctx := w.Runtime(), t.Context()
	p := skipping()
	p.Builds[0].Source = plan.Source{Git: "https://git.test/one", Ref: "main"}
	p.Builds[2].Source = plan.Source{Git: "https://git.test/two", Ref: "main"}
	w.Builder.SetBranch("https://git.test/one", "feature")
	skippedIn(t, w, staging, p)
	clone(t, w, runtime.CloneRequest{Source: staging, Name: "copy"})
	// A preview of a clone.
	env := clone(t, w, runtime.CloneRequest{Source: in("copy"), Name: "pr-7", Branch: "feature", TTL: time.Hour})
	if env.Kind != "preview" || env.Branch != "feature" || env.Source != "copy" || time.Until(env.Expires) > time.Hour || time.Until(env.Expires) < 50*time.Minute {
		t.Errorf("made %+v", env)
	}
	if got := skippedIn(t, w, in("pr-7"), nil); got != "one-skipped two-skipped three-skipped" {
		t.Errorf("the preview skips %q", got)
	}
	was, is := w.Deployer.Releases("shop-staging"), w.Deployer.Releases("shop-pr-7")
	if was["one"].Image == is["one"].Image {
		t.Errorf("one does not use the branch")
	}
	if was["two"].Image != is["two"].Image || was["three"].Image != is["three"].Image {
		t.Errorf("what does not have the branch is built of something else")
	}
	// A branch that comes later is used by the next deploy.
	w.Builder.SetBranch("https://git.test/two", "feature")
	skippedIn(t, w, in("pr-7"), nil)
	if was["two"].Image == w.Deployer.Releases("shop-pr-7")["two"].Image {
		t.Errorf("two does not use the branch that it has now")
	}
	if kept, err := w.Store.Environment(ctx, in("pr-7")); err != nil || kept.Plan.Build("one").Source.Ref != "main" {
		t.Errorf("the plan that is kept has the branch in it: %v", err)
	}
	must(t, rt.Skip(ctx, in("pr-7"), "three"))
	if got := skippedIn(t, w, in("copy"), nil); got != "one-skipped two-skipped three-skipped" {
		t.Errorf("the source of the preview skips %q", got)
	}
}

func TestPreviewName(t *testing.T) {
	seen := make(map[string]string)
	for _, test := range []struct{ branch, want string }{
		{"feature", "feature"},
		{"fix-7", "fix-7"},
		{"feature/Cart", "feature-cart-"},
		{"feature-cart", "feature-cart"},
		{"größe", "gr-e-"},
		{"///", ""},
		{strings.Repeat("long-", 20), "long-long-long-long-long-"},
	} {
		got := runtime.PreviewName(test.branch)
		if !strings.HasPrefix(got, test.want) || len(got) > 30 || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(got, "-") != got || got == "" {
			t.Errorf("PreviewName(%q) = %q, want %q and perhaps more", test.branch, got, test.want)
		}
		if was, ok := seen[got]; ok {
			t.Errorf("%q and %q have the same name %s", test.branch, was, got)
		}
		seen[got] = test.branch
	}
}

// TestExpired: a preview is deleted after its time, by gc and by any run in the
// cluster (E3).
func TestExpired(t *testing.T) {
	for _, by := range []string{"gc", "run"} {
		t.Run(by, func(t *testing.T) {
			w := runtimetest.NewWorld()
			rt, ctx := w.Runtime(), t.Context()
			skippedIn(t, w, staging, skipping())
			for _, name := range []string{"over", "lasting", "busy"} {
				clone(t, w, runtime.CloneRequest{Source: staging, Name: name, Branch: "b", TTL: time.Hour})
				skippedIn(t, w, in(name), nil)
			}
			for _, name := range []string{"over", "busy"} {
				env, err := w.Store.Environment(ctx, in(name))
				must(t, err)
				env.Expires = time.Now().Add(-time.Minute)
				must(t, w.Store.Save(ctx, env))
			}
			lease, err := w.Locker.Lock(ctx, in("busy"), "ana@laptop")
			must(t, err)
			if by == "gc" {
				deleted, err := rt.GC(ctx, "ben@server", nil)
				if err != nil || !slices.Equal(deleted, []runtime.EnvironmentKey{in("over")}) {
					t.Errorf("GC = %v, %v", deleted, err)
				}
			} else {
				told := ""
				_, err := run(t, w, runtime.Request{Plan: skipping(), Events: func(e runtime.Event) {
					if w, ok := e.Body.(runtime.Warned); ok {
						told = w.Diagnostic.Message
					}
				}})
				if err != nil || told != "environment over of pipeline shop was deleted: it had expired" {
					t.Errorf("Run = %v, and told %q", err, told)
				}
			}
			envs, _, err := w.Store.Environments(ctx, "shop")
			must(t, err)
			var names []string
			for _, env := range envs {
				names = append(names, env.Key.Name)
			}
			if got := strings.Join(names, " "); got != "busy lasting staging" {
				t.Errorf("left %s", got)
			}
			if left := w.Deployer.Releases("shop-over"); len(left) != 0 {
				t.Errorf("left %d releases", len(left))
			}
			must(t, lease.Release(ctx))
		})
	}
}

// TestExpiredStays: a preview that cannot be deleted is told of, and is not a failure
// of the run beside which that was tried.
func TestExpiredStays(t *testing.T) {
	w := runtimetest.NewWorld()
	skippedIn(t, w, staging, skipping())
	env := clone(t, w, runtime.CloneRequest{Source: staging, Name: "over", TTL: time.Hour})
	env.Expires = time.Now().Add(-time.Minute)
	must(t, w.Store.Save(t.Context(), env))
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Remove" {
			return errors.New("it does not go")
		}
		return nil
	}
	told := ""
	_, err := run(t, w, runtime.Request{Plan: skipping(), Events: func(e runtime.Event) {
		if w, ok := e.Body.(runtime.Warned); ok {
			told = w.Diagnostic.Message
		}
	}})
	if want := "delete expired environment over of pipeline shop: remove namespace shop-over: it does not go"; err != nil || told != want {
		t.Errorf("Run = %v, and told %q, want %q", err, told, want)
	}
	if _, err := w.Runtime().GC(t.Context(), "ana", nil); err == nil {
		t.Errorf("GC = nil")
	}
}
