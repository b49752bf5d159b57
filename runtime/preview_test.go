package runtime_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

func TestPreview(t *testing.T) {
	w := runtimetest.NewWorld()
	p := busyPlan(w)
	preview := func(req runtime.Request) []runtime.Step {
		t.Helper()
		req.Environment = staging
		if req.Action == "" {
			req.Action = runtime.Deploy
		}
		steps, err := w.Runtime().Preview(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range steps { // where the image is there, it is named by digest (I4)
			if byDigest := strings.Contains(s.Ref, "@sha256:"); s.Ref != "" && byDigest == (s.Image == runtime.ImageBuild || s.Why == "its image is made for migrate; not deployed yet") {
				t.Errorf("%s: image %q by digest: %v", s.Service, s.Ref, byDigest)
			}
			steps[i].Ref = ""
			if waits := strings.Contains(s.Why, "waits for Secret"); waits != (len(s.Warnings) == 1) {
				t.Errorf("%s: %s: warnings %v", s.Service, s.Why, s.Warnings)
			}
			steps[i].Warnings = nil
		}
		return steps
	}
	want := []runtime.Step{
		{Stage: "1", Service: "redis", Image: "mirror", Do: "deploying", Why: "redis:7 is not in the registry; not deployed yet"},
		{Stage: "1", Service: "migrate", Image: "build", Do: "deploying", Why: "no image of this source in the registry; not deployed yet"},
		{Stage: "2", Service: "api", Do: "deploying", Why: "its image is made for migrate; not deployed yet"},
		{Stage: "2", Service: "web", Image: "build", Do: "deploying", Why: "no image of this source in the registry; not deployed yet"},
		{Stage: "2", Service: "chart", Do: "deploying", Why: "not deployed yet"},
		{Stage: "2", Service: "operator", Namespace: "operators", Do: runtime.Deploying, Why: "not deployed yet in namespace operators"},
		{Stage: "2", Service: "maker", Do: "deploying", Why: "not deployed yet"},
		{Stage: "2", Service: "waits", Do: "deploying", Why: "waits for Secret maker (key value)"},
		{Stage: "2", Service: "left-out", Do: "skipped", Why: "skipped"},
		{Stage: "3", Service: "late", Image: "build", Do: "deploying", Why: "no image of this source in the registry; not deployed yet"},
		{Stage: "3", Service: "tool", Do: "deploying", Why: "not deployed yet"},
	}
	if diff := cmp.Diff(want, preview(runtime.Request{Plan: p})); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	for _, c := range w.Calls() {
		switch c.Op {
		case "Store.Environment", "Store.Owns", "Builder.Identify", "Registry.Resolve", "Registry.Mirrored", "Deployer.Deployed", "Deployer.MissingSecrets", "Deployer.Fingerprint",
			"Signatures.Signer", "Signatures.Verify":
		default:
			t.Errorf("a preview calls %s", c.Op)
		}
	}
	if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
		t.Fatal(err)
	}
	for _, step := range preview(runtime.Request{Plan: p}) {
		if step.Image != "" || step.Do != runtime.Unchanged && step.Do != runtime.Skipped {
			t.Errorf("after a run: %+v", step)
		}
	}
	// One thing of each kind changes.
	w.Builder.SetSource("web", "changed")
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("newer")))
	w.Signatures.Add(plan.DigestOf([]byte("newer")), "key")
	p.Service("chart").Values = map[string]any{"a": 1}
	want = []runtime.Step{
		{Stage: "1", Service: "redis", Image: "mirror", Do: "deploying", Why: "redis:7 is not in the registry; changed"},
		{Stage: "1", Service: "migrate", Do: "unchanged", Why: "already deployed"},
		{Stage: "2", Service: "api", Do: "unchanged", Why: "already deployed"},
		{Stage: "2", Service: "web", Image: "build", Do: "deploying", Why: "no image of this source in the registry"},
		{Stage: "2", Service: "chart", Do: "deploying", Why: "changed"},
		{Stage: "2", Service: "operator", Namespace: "operators", Do: runtime.Unchanged, Why: "already deployed"},
		{Stage: "2", Service: "maker", Do: "unchanged", Why: "already deployed"},
		{Stage: "2", Service: "waits", Do: "unchanged", Why: "already deployed"},
		{Stage: "2", Service: "left-out", Do: "skipped", Why: "skipped"},
		{Stage: "3", Service: "late", Do: "unchanged", Why: "already deployed"},
		{Stage: "3", Service: "tool", Do: "unchanged", Why: "already deployed"},
	}
	if diff := cmp.Diff(want, preview(runtime.Request{Plan: p})); diff != "" {
		t.Errorf("after changes (-want +got):\n%s", diff)
	}
	want = []runtime.Step{{Stage: "1", Service: "migrate", Do: "deploying", Why: "forced"}}
	if diff := cmp.Diff(want, preview(runtime.Request{Plan: p, Services: []string{"migrate"}, Force: true})); diff != "" {
		t.Errorf("forced (-want +got):\n%s", diff)
	}
	want = []runtime.Step{
		{Stage: "3", Service: "tool", Do: "stopping", Why: ""},
		{Stage: "2", Service: "left-out", Do: "unchanged", Why: "not deployed"},
	}
	if diff := cmp.Diff(want, preview(runtime.Request{Action: runtime.Stop, Services: []string{"left-out", "tool"}})); diff != "" {
		t.Errorf("stop (-want +got):\n%s", diff)
	}
}

// randomPlan makes a plan that may differ a little from that of another seed of
// the same shape.
func randomPlan(shape, seed uint64) *plan.Plan {
	r, vary := rand.New(rand.NewPCG(shape, 3)), rand.New(rand.NewPCG(seed, 4))
	p := pipeline(1 + r.IntN(4))
	p.Pipeline.BuildAhead = r.IntN(2) == 0
	for i := range r.IntN(15) {
		name := fmt.Sprint("s", i)
		stage := 1 + r.IntN(len(p.Stages))
		var s *plan.Service
		switch r.IntN(6) {
		case 0:
			s = service(p, stage, name, plan.ImageSource{Mirror: fmt.Sprintf("redis:%d", r.IntN(3))})
		case 1:
			s = service(p, stage, name, plan.ImageSource{Ref: "elsewhere/tool:1"})
		case 2:
			s = service(p, stage, name, plan.ImageSource{})
		case 3:
			s = app(p, stage, name)
			s.Image.Build = p.Builds[r.IntN(len(p.Builds))].ID
		default:
			s = app(p, stage, name)
			if r.IntN(4) == 0 {
				p.Build(name).Source.Path = p.Builds[0].Source.Path
			}
		}
		s.Skip = vary.IntN(6) == 0
		if vary.IntN(4) == 0 {
			s.Workload.Replicas = 1 + vary.IntN(3)
		}
	}
	slices.SortStableFunc(p.Services, func(a, b plan.Service) int { return strings.Compare(a.Stage, b.Stage) })
	return p
}

// TestPreviewIsRun: whatever has happened to an environment before, a preview
// says what the next run does, and changes nothing.
func TestPreviewIsRun(t *testing.T) {
	kinds := make(map[string]int)
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := runtimetest.NewWorld()
		for i := range 3 {
			w.Registry.Upstream(fmt.Sprintf("redis:%d", i), plan.DigestOf([]byte{byte(i)}))
		}
		w.Registry.Upstream("elsewhere/tool:1", plan.DigestOf([]byte("tool")))
		names := func(p *plan.Plan) (names []string) {
			for _, s := range p.Services {
				if r.IntN(3) == 0 {
					names = append(names, s.Name)
				}
			}
			return names
		}
		// What has happened before.
		for range r.IntN(4) {
			p := randomPlan(seed, r.Uint64())
			req := runtime.Request{Plan: p, KeepGoing: r.IntN(2) == 0}
			if r.IntN(3) == 0 {
				req.Services = names(p)
			}
			if r.IntN(4) == 0 {
				req.Action = []runtime.Action{runtime.Stop, runtime.Restart, runtime.Delete}[r.IntN(3)]
			}
			if len(p.Services) > 0 && r.IntN(3) == 0 {
				p.Services[r.IntN(len(p.Services))].Chart = &plan.Chart{Ref: runtimetest.CrashingChart}
			}
			run(t, w, req) // it may fail: so much the better
			switch r.IntN(6) {
			case 0:
				w.Registry.Forget()
			case 1:
				w.Builder.SetSource(fmt.Sprint("s", r.IntN(15)), fmt.Sprint(r.Uint64()))
			case 2:
				w.Registry.Upstream("redis:1", plan.DigestOf(fmt.Append(nil, r.Uint64())))
			}
		}
		p := randomPlan(seed, r.Uint64())
		req := runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, Force: r.IntN(5) == 0}
		if r.IntN(3) == 0 {
			req.Services = names(p)
		}
		if r.IntN(4) == 0 {
			req.Action = []runtime.Action{runtime.Stop, runtime.Restart, runtime.Delete}[r.IntN(3)]
		}
		releases := w.Deployer.Releases("shop-staging")
		steps, err := w.Runtime().Preview(t.Context(), req)
		if err != nil {
			t.Fatalf("seed %d: Preview = %v", seed, err)
		}
		if diff := cmp.Diff(releases, w.Deployer.Releases("shop-staging")); diff != "" {
			t.Errorf("seed %d: a preview changed something:\n%s", seed, diff)
		}
		before := len(w.Calls())
		record, err := run(t, w, req)
		if err != nil {
			t.Fatalf("seed %d: Run = %v", seed, err)
		}
		built := make(map[string]bool)
		for _, c := range w.Calls()[before:] {
			if c.Op == "Builder.Build" || c.Op == "Registry.Mirror" {
				built[c.Subject] = true
			}
		}
		if len(steps) != len(record.Services) {
			t.Errorf("seed %d: %d steps for %d services", seed, len(steps), len(record.Services))
		}
		got := states(record)
		for _, step := range steps {
			want := step.Do
			if want != runtime.Unchanged && want != runtime.Skipped {
				want = runtime.Done
			}
			kinds[string(step.Image)+" "+string(step.Do)]++
			s := p.Service(step.Service)
			switch step.Image {
			case runtime.ImageBuild:
				if !built[s.Image.Build] {
					t.Errorf("seed %d: %s was not built: %+v", seed, s.Image.Build, step)
				}
				built[s.Image.Build+" told"] = true
			case runtime.ImageMirror:
				if !built[s.Image.Mirror] {
					t.Errorf("seed %d: %s was not copied: %+v", seed, s.Image.Mirror, step)
				}
				built[s.Image.Mirror+" told"] = true
			}
			// The one thing that only a build can tell: see Preview.
			if want == runtime.Done && got[step.Service] == runtime.Unchanged && built[s.Image.Build] {
				kinds["built the same"]++
				continue
			}
			if got[step.Service] != want {
				t.Errorf("seed %d: %s is %s, and the preview said %+v", seed, step.Service, got[step.Service], step)
			}
		}
		for what := range built {
			if !strings.HasSuffix(what, " told") && !built[what+" told"] {
				t.Errorf("seed %d: %s was built or copied, and the preview did not say so", seed, what)
			}
		}
		if t.Failed() {
			return
		}
	}
	for _, kind := range []string{"build deploying", "mirror deploying", " deploying", " unchanged", " skipped", " stopping", " deleting", " restarting", "built the same"} {
		if kinds[kind] < 10 {
			t.Errorf("only %d of %q: %v", kinds[kind], kind, kinds)
		}
	}
}
