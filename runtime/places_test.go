package runtime_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// operated returns a plan with an application, and an operator in a namespace.
func operated(namespace string) *plan.Plan {
	p := pipeline(2)
	service(p, 1, "operator", plan.ImageSource{}).Namespace = namespace
	app(p, 2, "web")
	return p
}

func releases(w *runtimetest.World, namespace string) []string {
	return slices.Sorted(maps.Keys(w.Deployer.Releases(namespace)))
}

// TestFurtherNamespace: every action finds the release of a service with a namespace of its
// own, without a plan, and a namespace that pipe has created is deleted with the environment.
func TestFurtherNamespace(t *testing.T) {
	w := runtimetest.NewWorld()
	_, err := run(t, w, runtime.Request{Plan: operated("{pipeline}-{environment}-operators")})
	must(t, err)
	const further = "shop-staging-operators"
	if got := releases(w, further); !slices.Equal(got, []string{"operator"}) || !slices.Equal(releases(w, "shop-staging"), []string{"web"}) {
		t.Fatalf("deployed %v and %v", got, releases(w, "shop-staging"))
	}
	if record, err := run(t, w, runtime.Request{}); err != nil || states(record)["operator"] != runtime.Unchanged {
		t.Errorf("deployed again: %v, %v", states(record), err)
	}
	release := func() runtimetest.Release { return w.Deployer.Releases(further)["operator"] }
	for _, test := range []struct {
		action runtime.Action
		holds  func(runtimetest.Release) bool
	}{
		{runtime.Restart, func(r runtimetest.Release) bool { return r.Restarts == 1 }},
		{runtime.Stop, func(r runtimetest.Release) bool { return r.Stopped }},
		{runtime.Start, func(r runtimetest.Release) bool { return !r.Stopped && r.Ready }},
		{runtime.Deploy, func(r runtimetest.Release) bool { return r.Revision == 1 }},
	} {
		if _, err := run(t, w, runtime.Request{Action: test.action}); err != nil || !test.holds(release()) {
			t.Errorf("after %s (%v): %+v", test.action, err, release())
		}
	}
	_, err = run(t, w, runtime.Request{Action: runtime.Delete})
	if left := w.Deployer.Namespaces(); err != nil || len(left) > 0 {
		t.Errorf("after a delete (%v) there are the namespaces %v", err, left)
	}
}

// TestFurtherNamespaceOfOthers: it is used, and neither deleted nor changed besides.
func TestFurtherNamespaceOfOthers(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Deployer.Install("operators", "theirs")
	_, err := run(t, w, runtime.Request{Plan: operated("operators")})
	must(t, err)
	_, err = run(t, w, runtime.Request{Action: runtime.Delete})
	if got := releases(w, "operators"); err != nil || !slices.Equal(got, []string{"theirs"}) {
		t.Errorf("after a delete (%v) there is %v", err, got)
	}

	// The namespace of another environment is refused.
	other := pipeline(1)
	other.Pipeline.Name = "mine"
	_, err = run(t, w, runtime.Request{Plan: other, Environment: runtime.EnvironmentKey{Pipeline: "mine", Name: "staging"}})
	must(t, err)
	var owned *runtime.OwnedError
	_, err = run(t, w, runtime.Request{Plan: operated("mine-staging")})
	if !errors.As(err, &owned) || owned.Error() != "namespace mine-staging belongs to environment staging of pipeline mine, and cannot be used for service operator of environment staging of pipeline shop" {
		t.Errorf("a run with the namespace of another environment = %v", err)
	}
}

// TestFurtherNamespaceOfTwo: two environments whose releases have one name and one
// namespace: the second is refused, and says whose the release is.
func TestFurtherNamespaceOfTwo(t *testing.T) {
	w := runtimetest.NewWorld()
	_, err := run(t, w, runtime.Request{Plan: operated("operators")})
	must(t, err)
	clone, err := w.Runtime().Clone(t.Context(), runtime.CloneRequest{Source: staging, Name: "copy"})
	must(t, err)
	record, err := run(t, w, runtime.Request{Environment: clone.Key})
	var failed *runtime.RunError
	var owned *runtime.OwnedError
	if !errors.As(err, &failed) || !errors.As(failed.Failed[0].Err, &owned) {
		t.Fatalf("a clone with the same namespace = %v", err)
	}
	if want := "release operator in namespace operators belongs to environment staging of pipeline shop, and cannot be used for service operator of environment copy of pipeline shop"; owned.Error() != want {
		t.Errorf("it says %q, want %q", owned, want)
	}
	if states(record)["web"] == runtime.Done {
		t.Errorf("the clone was deployed in part: %v", states(record))
	}

	// It can be left out.
	must(t, w.Runtime().Skip(t.Context(), clone.Key, "operator"))
	_, err = run(t, w, runtime.Request{Environment: clone.Key})
	must(t, err)
	for _, action := range []runtime.Action{runtime.Stop, runtime.Delete} {
		if _, err := run(t, w, runtime.Request{Action: action, Environment: clone.Key}); err != nil {
			t.Errorf("%s of the clone = %v", action, err)
		}
	}
	if got := w.Deployer.Releases("operators")["operator"]; got.Owner != staging || got.Stopped {
		t.Errorf("the release of the first environment is %+v", got)
	}

	// With {environment}, each has its own.
	p := operated("operators-{environment}")
	_, err = run(t, w, runtime.Request{Plan: p, Prune: true})
	must(t, err)
	clone, err = w.Runtime().Clone(t.Context(), runtime.CloneRequest{Source: staging, Name: "second"})
	must(t, err)
	_, err = run(t, w, runtime.Request{Environment: clone.Key})
	if got := releases(w, "operators-second"); err != nil || !slices.Equal(got, []string{"operator"}) {
		t.Errorf("a clone (%v) has deployed %v", err, got)
	}
}

// TestFurtherNamespaceMoves: a service whose namespace changes is deployed in the new one.
// The old release is kept until it is pruned, and every action finds it.
func TestFurtherNamespaceMoves(t *testing.T) {
	w := runtimetest.NewWorld()
	rt := w.Runtime()
	_, err := run(t, w, runtime.Request{Plan: operated("")})
	must(t, err)
	moved := operated("operators")
	preview := func(req runtime.Request) (all []string) {
		t.Helper()
		req.Environment = staging
		steps, err := rt.Preview(t.Context(), req)
		must(t, err)
		for _, s := range steps {
			if s.Service == "operator" {
				all = append(all, strings.Join([]string{string(s.Do), s.Namespace, s.Why}, "|"))
			}
		}
		return all
	}
	want := []string{"deploying|operators|not deployed yet in namespace operators; its release in namespace shop-staging is kept, which --prune deletes"}
	if got := preview(runtime.Request{Action: runtime.Deploy, Plan: moved}); !slices.Equal(got, want) {
		t.Errorf("Preview = %q, want %q", got, want)
	}
	want = []string{"deploying|operators|not deployed yet in namespace operators; its release in namespace shop-staging is deleted", "deleting||the service is in namespace operators now"}
	if got := preview(runtime.Request{Action: runtime.Deploy, Plan: moved, Prune: true}); !slices.Equal(got, want) {
		t.Errorf("Preview = %q, want %q", got, want)
	}

	// A run that fails has recorded the plan: the release is where it was.
	w.Hook = func(_ context.Context, c runtimetest.Call) error {
		if c.Op == "Deployer.Deploy" {
			return errFault
		}
		return nil
	}
	if _, err = run(t, w, runtime.Request{Plan: moved}); !errors.Is(err, errFault) {
		t.Fatalf("Run = %v, want %v", err, errFault)
	}
	w.Hook = nil
	_, err = run(t, w, runtime.Request{Action: runtime.Stop})
	if got := w.Deployer.Releases("shop-staging")["operator"]; err != nil || !got.Stopped {
		t.Errorf("after a stop (%v) the release is %+v", err, got)
	}

	_, err = run(t, w, runtime.Request{Plan: moved})
	must(t, err)
	orphans, err := rt.Orphans(t.Context(), staging)
	if want := []runtime.Place{{Namespace: "shop-staging", Name: "operator"}}; err != nil || !slices.Equal(orphans, want) {
		t.Errorf("Orphans = %v, %v, want %v", orphans, err, want)
	}
	record, err := run(t, w, runtime.Request{Prune: true})
	if err != nil || !slices.Equal(record.Moved, []runtime.Place{{Namespace: "shop-staging", Name: "operator"}}) || !slices.Equal(releases(w, "operators"), []string{"operator"}) || !slices.Equal(releases(w, "shop-staging"), []string{"web"}) {
		t.Errorf("moved %v (%v), left %v and %v", record.Moved, err, releases(w, "operators"), releases(w, "shop-staging"))
	}

	// And back; a delete of the service finds it in both.
	_, err = run(t, w, runtime.Request{Plan: operated("")})
	must(t, err)
	_, err = run(t, w, runtime.Request{Action: runtime.Delete, Services: []string{"operator"}})
	if left := append(releases(w, "operators"), releases(w, "shop-staging")...); err != nil || !slices.Equal(left, []string{"web"}) {
		t.Errorf("after a delete of the service (%v) there is %v", err, left)
	}
	_, err = run(t, w, runtime.Request{Action: runtime.Delete})
	if left := w.Deployer.Namespaces(); err != nil || len(left) > 0 {
		t.Errorf("after a delete (%v) there are the namespaces %v", err, left)
	}
}
