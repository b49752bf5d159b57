package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

func second(op, subject string) time.Duration { return time.Second }

// starts returns when each build and each deploy of the world started.
func starts(w *runtimetest.World, op string) map[string]time.Duration {
	starts := make(map[string]time.Duration)
	for _, s := range w.Spans() {
		if s.Op == op {
			starts[s.Subject] = s.Start
		}
	}
	return starts
}

func TestPhases(t *testing.T) {
	for _, test := range []struct {
		name   string
		stages int
		ahead  bool
		want   time.Duration
	}{
		// 20 builds in rounds of 7, 7 and 6, then 20 deploys likewise.
		{"one stage", 1, false, 6 * time.Second},
		{"two stages", 2, false, 12 * time.Second},
		// 40 builds take six rounds; the deploys of the first stage start after
		// three, when the sixth round has one slot that nothing waits for.
		{"two stages, building ahead", 2, true, 9 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runtimetest.NewWorld()
				w.Takes = second
				p := pipeline(test.stages)
				p.Pipeline.BuildAhead = test.ahead
				for s := range test.stages {
					for i := range 20 {
						app(p, s+1, fmt.Sprintf("s%d-%02d", s+1, i))
					}
				}
				start := time.Now()
				record, err := run(t, w, runtime.Request{Plan: p})
				if err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != test.want {
					t.Errorf("took %v, want %v", got, test.want)
				}
				for _, op := range []string{"Builder.Build", "Deployer.Deploy"} {
					if got := w.Peak(op); got != 7 {
						t.Errorf("at most %d of %s at a time, want 7", got, op)
					}
				}
				for name, state := range states(record) {
					if state != runtime.Done {
						t.Errorf("%s is %s", name, state)
					}
				}
				// Again: nothing is built, nothing is deployed, no time goes by.
				start = time.Now()
				if record, err = run(t, w, runtime.Request{Plan: p}); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != 0 {
					t.Errorf("the second run took %v", got)
				}
				for name, state := range states(record) {
					if state != runtime.Unchanged {
						t.Errorf("again, %s is %s", name, state)
					}
				}
			})
		})
	}
}

// TestNoIdleSlot runs builds and deploys of random lengths: each starts exactly
// when a list of them with so many slots would start it (A1).
func TestNoIdleSlot(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			w := runtimetest.NewWorld()
			took := make(map[string]time.Duration)
			w.Takes = func(op, subject string) time.Duration { return took[op+" "+subject] }
			stages := 1 + r.IntN(3)
			p := pipeline(stages)
			p.Pipeline.BuildParallelism, p.Pipeline.DeployParallelism = 1+r.IntN(5), 1+r.IntN(5)
			want := make(map[string]time.Duration)
			now := time.Duration(0)
			for s := range stages {
				var names []string
				for i := range r.IntN(15) {
					names = append(names, fmt.Sprintf("s%d-%d", s+1, i))
					app(p, s+1, names[i])
				}
				for _, phase := range []struct {
					op    string
					slots int
				}{{"Builder.Build", p.Pipeline.BuildParallelism}, {"Deployer.Deploy", p.Pipeline.DeployParallelism}} {
					free := make([]time.Duration, phase.slots) // when each slot is
					for i := range free {
						free[i] = now
					}
					for _, name := range names {
						d := time.Duration(1 + r.Int64N(int64(time.Minute)))
						took[phase.op+" "+name] = d
						slot := slices.Index(free, slices.Min(free))
						want[phase.op+" "+name] = free[slot]
						free[slot] += d
					}
					now = slices.Max(free)
				}
			}
			if _, err := run(t, w, runtime.Request{Plan: p}); err != nil {
				t.Fatal(err)
			}
			got := make(map[string]time.Duration)
			for _, s := range w.Spans() {
				got[s.Op+" "+s.Subject] = s.Start
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("seed %d: when what starts (-want +got):\n%s", seed, diff)
			}
		})
	}
}

// TestFailedBuild: a failed build leaves what runs in its stage untouched (A1).
func TestFailedBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, subject string) time.Duration {
			if subject == "bad" {
				return time.Second / 2
			}
			return time.Second
		}
		p := pipeline(2)
		service(p, 1, "plain", plan.ImageSource{})
		app(p, 1, "bad")
		for i := range 10 {
			app(p, 1, fmt.Sprintf("good%d", i))
		}
		app(p, 2, "later")
		p.Builds[0].Dockerfile = runtimetest.BrokenDockerfile
		record, err := run(t, w, runtime.Request{Plan: p})
		var failed *runtime.RunError
		if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Service != "bad" {
			t.Fatalf("Run = %v", err)
		}
		if got, want := err.Error(), "service bad failed: build image of bad: RUN make: exit status 2"; got != want {
			t.Errorf("Run = %q, want %q", got, want)
		}
		var build *runtime.BuildError
		if !errors.As(err, &build) {
			t.Errorf("the error is not a BuildError: %v", err)
		}
		if n := w.Count("Deployer.Deploy"); n != 0 {
			t.Errorf("%d deploys in a stage with a failed build", n)
		}
		for _, s := range record.Services {
			want := runtime.Cancelled
			if s.Service == "bad" {
				want = runtime.Failed
				if diff := cmp.Diff([]string{"it breaks here"}, s.Evidence); diff != "" {
					t.Errorf("evidence (-want +got):\n%s", diff)
				}
			} else if s.Reason != "service bad failed" {
				t.Errorf("%s is %s: %q", s.Service, s.State, s.Reason)
			}
			if s.State != want {
				t.Errorf("%s is %s, want %s", s.Service, s.State, want)
			}
		}
		// The seven that had started were allowed to end; nothing started after.
		if n := w.Count("Builder.Build"); n != 7 {
			t.Errorf("%d builds, want the 7 that had started", n)
		}
	})
}

func TestKeepGoing(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld()
			w.Takes = second
			p := pipeline(3)
			p.Pipeline.BuildAhead = ahead
			p.Pipeline.BuildParallelism, p.Pipeline.DeployParallelism = 1, 1
			app(p, 1, "first")
			app(p, 2, "bad")
			app(p, 2, "shares-bad").Image.Build = "bad"
			service(p, 2, "crashing", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.CrashingChart}
			app(p, 2, "good")
			app(p, 3, "later")
			p.Build("bad").Dockerfile = runtimetest.BrokenDockerfile
			record, err := run(t, w, runtime.Request{Plan: p, KeepGoing: true})
			want := map[string]runtime.State{
				"first": runtime.Done, "bad": runtime.Failed, "shares-bad": runtime.Failed, "crashing": runtime.Failed,
				"good": runtime.Done, "later": runtime.Cancelled,
			}
			if diff := cmp.Diff(want, states(record)); diff != "" {
				t.Errorf("ahead=%v (-want +got):\n%s", ahead, diff)
			}
			if got, want := err.Error(), "3 services failed: bad, shares-bad, crashing"; got != want {
				t.Errorf("Run = %q, want %q", got, want)
			}
			if built := starts(w, "Builder.Build"); built["later"] != 0 {
				t.Errorf("ahead=%v: built for a stage that could not come any more", ahead)
			}
		})
	}
}

// TestFailedDeploy: nothing new starts, what runs ends (A3).
func TestFailedDeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, subject string) time.Duration {
			if subject == "slow" {
				return time.Minute
			}
			return time.Second
		}
		p := pipeline(2)
		service(p, 1, "crashing", plan.ImageSource{}).Chart = &plan.Chart{Ref: runtimetest.CrashingChart}
		service(p, 1, "slow", plan.ImageSource{})
		for i := range 10 {
			service(p, 1, fmt.Sprintf("other%d", i), plan.ImageSource{})
		}
		service(p, 2, "later", plan.ImageSource{})
		start := time.Now()
		record, err := run(t, w, runtime.Request{Plan: p})
		if got := time.Since(start); got != time.Minute {
			t.Errorf("took %v, want that of what had started", got)
		}
		count := make(map[runtime.State]int)
		for _, state := range states(record) {
			count[state]++
		}
		if count[runtime.Failed] != 1 || count[runtime.Done]+count[runtime.Cancelled] != 12 || record.Services[1].State != runtime.Done {
			t.Errorf("states %v", count)
		}
		if record.Services[12].State != runtime.Cancelled {
			t.Errorf("later is %s", record.Services[12].State)
		}
		var release *runtime.ReleaseError
		if !errors.As(err, &release) || release.Release != "crashing" {
			t.Errorf("Run = %v, want a ReleaseError", err)
		}
		if !slices.Equal(record.Services[0].Evidence, []string{"pod crashing-0: CrashLoopBackOff"}) {
			t.Errorf("evidence %q", record.Services[0].Evidence)
		}
	})
}

// TestForeseen: what can be known to fail fails before anything is changed.
func TestForeseen(t *testing.T) {
	for _, test := range []struct {
		name string
		bad  func(p *plan.Plan, w *runtimetest.World)
		want string
	}{
		{"no chart", func(p *plan.Plan, w *runtimetest.World) {
			p.Service("bad").Chart = &plan.Chart{Ref: runtimetest.MissingChart}
			p.Service("bad").Image = plan.ImageSource{}
		}, "service bad failed: render bad: chart missing: no such directory"},
		{"no image", func(p *plan.Plan, w *runtimetest.World) {
			p.Service("bad").Image = plan.ImageSource{Mirror: "redis:none"}
		}, "service bad failed: look for image redis:none: image redis:none: not found"},
		{"no external image", func(p *plan.Plan, w *runtimetest.World) {
			p.Service("bad").Image = plan.ImageSource{Ref: "redis:none"}
		}, "service bad failed: look for image redis:none: image redis:none: not found"},
		{"no build", func(p *plan.Plan, w *runtimetest.World) {
			p.Service("bad").Image = plan.ImageSource{Build: "none"}
		}, `service bad failed: the plan has no build "none"`},
		{"no source", func(p *plan.Plan, w *runtimetest.World) {
			w.Hook = func(ctx context.Context, c runtimetest.Call) error {
				if c.Op == "Builder.Identify" && c.Subject == "bad" {
					return errors.New("git: no such branch")
				}
				return nil
			}
		}, "service bad failed: identify image of bad: git: no such branch"},
		{"no registry", func(p *plan.Plan, w *runtimetest.World) {
			w.Hook = func(ctx context.Context, c runtimetest.Call) error {
				if c.Op == "Registry.Resolve" && strings.Contains(c.Subject, "bad") {
					return errors.New("connection refused")
				}
				return nil
			}
		}, "service bad failed: look for image of bad in the registry: connection refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runtimetest.NewWorld()
				p := pipeline(2)
				app(p, 1, "good")
				app(p, 2, "bad")
				test.bad(p, w)
				record, err := run(t, w, runtime.Request{Plan: p})
				if err == nil || err.Error() != test.want {
					t.Errorf("Run = %v, want %q", err, test.want)
				}
				if n := w.Count("Builder.Build") + w.Count("Deployer.Deploy"); n != 0 {
					t.Errorf("%d builds and deploys", n)
				}
				if got := states(record); got["good"] != runtime.Cancelled || got["bad"] != runtime.Failed {
					t.Errorf("states %v", got)
				}
				steps, previewErr := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p})
				if previewErr == nil || previewErr.Error() != test.want || len(steps) != 2 || steps[1].Do != runtime.Failed {
					t.Errorf("Preview = %v, %v", steps, previewErr)
				}
				// With KeepGoing the first stage is done, and the second not.
				record, err = run(t, w, runtime.Request{Plan: p, KeepGoing: true})
				if err == nil || err.Error() != test.want {
					t.Errorf("Run that keeps going = %v, want %q", err, test.want)
				}
				if got := states(record); got["good"] != runtime.Done || got["bad"] != runtime.Failed {
					t.Errorf("states %v", got)
				}
			})
		})
	}
}

// TestSharedImage: an image is built once, in the first stage that needs it, and
// two builds of one identity follow each other (L6, I2).
func TestSharedImage(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := runtimetest.NewWorld()
			w.Takes = second
			w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
			p := pipeline(3)
			p.Pipeline.BuildAhead = ahead
			p.Services = append(p.Services, plan.Service{Name: "migrate", Stage: "1", Image: plan.ImageSource{Build: "api"}, Skip: true})
			p.Services = append(p.Services, plan.Service{Name: "seed", Stage: "2", Image: plan.ImageSource{Build: "api"}})
			service(p, 2, "cache", plan.ImageSource{Mirror: "redis:7"})
			app(p, 3, "api")
			app(p, 3, "twin")
			p.Build("twin").Source.Path = "api"
			service(p, 3, "cache2", plan.ImageSource{Mirror: "redis:7"})
			record, err := run(t, w, runtime.Request{Plan: p})
			if err != nil {
				t.Fatal(err)
			}
			builds := starts(w, "Builder.Build")
			// Of the skipped one nothing is built: the first stage is empty.
			want := map[string]time.Duration{"api": 0, "twin": 2 * time.Second}
			if ahead {
				want["twin"] = time.Second
			}
			if diff := cmp.Diff(want, builds); diff != "" {
				t.Errorf("ahead=%v: builds (-want +got):\n%s", ahead, diff)
			}
			if n := w.Count("Builder.Build") + w.Count("Registry.Mirror"); n != 3 {
				t.Errorf("%d builds and copies, want 3", n)
			}
			byName := make(map[string]string)
			for _, s := range record.Services {
				byName[s.Service] = s.Image
			}
			if byName["seed"] != byName["api"] || byName["api"] == "" || byName["cache"] != byName["cache2"] {
				t.Errorf("images %v", byName)
			}
			if byName["migrate"] != "" || states(record)["migrate"] != runtime.Skipped {
				t.Errorf("migrate is %s", states(record)["migrate"])
			}
		})
	}
}
