package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestRules runs random plans in which random work fails, and checks the rules of
// SPEC §4 on what was done when.
func TestRules(t *testing.T) {
	failures := 0
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			w := runtimetest.NewWorld()
			for i := range 3 {
				w.Registry.Upstream(fmt.Sprintf("redis:%d", i), plan.DigestOf([]byte{byte(i)}))
			}
			w.Registry.Upstream("elsewhere/tool:1", plan.DigestOf([]byte("tool")))
			p := randomPlan(seed, seed)
			p.Pipeline.BuildParallelism, p.Pipeline.DeployParallelism = 1+r.IntN(4), 1+r.IntN(4)
			keepGoing := r.IntN(2) == 0

			firstFailure, failedStage := time.Duration(-1), len(p.Stages)
			stageOf := make(map[string]int) // of services and of images, by the first that needs them
			for i, st := range p.Stages {
				for _, s := range p.Services {
					if s.Stage != st.Name {
						continue
					}
					stageOf["Deployer.Deploy "+s.Name] = i
					if s.Skip {
						continue
					}
					for _, image := range []string{"Builder.Build " + s.Image.Build, "Registry.Mirror " + s.Image.Mirror} {
						if _, ok := stageOf[image]; !ok {
							stageOf[image] = i
						}
					}
				}
			}
			// How long each work takes, and whether it fails.
			work := func(name string) (took time.Duration, fails bool) {
				h := fnv.New64a()
				h.Write([]byte(name))
				r := rand.New(rand.NewPCG(seed, h.Sum64()))
				return time.Duration(1 + r.Int64N(int64(time.Minute))), r.IntN(12) == 0
			}
			w.Takes = func(op, subject string) time.Duration {
				took, _ := work(op + " " + subject)
				return took
			}
			var mu sync.Mutex
			begin := time.Now()
			w.Hook = func(ctx context.Context, c runtimetest.Call) error {
				for _, end := range []string{" push", " end"} {
					op := c.Op[:max(0, len(c.Op)-len(end))]
					name := op + " " + c.Subject
					if _, fails := work(name); c.Op == op+end && fails {
						mu.Lock()
						defer mu.Unlock()
						failures++
						if firstFailure < 0 {
							firstFailure = time.Since(begin)
						}
						failedStage = min(failedStage, stageOf[name])
						return errors.New("it breaks")
					}
				}
				return nil
			}
			record, err := run(t, w, runtime.Request{Plan: p, KeepGoing: keepGoing})
			if (err == nil) != (firstFailure < 0) {
				t.Errorf("Run = %v, first failure at %v", err, firstFailure)
			}
			spans := w.Spans()
			for _, s := range spans {
				name := s.Op + " " + s.Subject
				build := s.Op != "Deployer.Deploy"
				if !keepGoing && firstFailure >= 0 && s.Start > firstFailure {
					t.Errorf("%s started at %v, after the failure at %v (A3)", name, s.Start, firstFailure)
				}
				if keepGoing && stageOf[name] > failedStage && s.Start > firstFailure && !build {
					t.Errorf("%s started in a stage after that of the failure (A3)", name)
				}
				atOnce := 0
				for _, o := range spans {
					other := o.Op + " " + o.Subject
					otherBuild := o.Op != "Deployer.Deploy"
					if build == otherBuild && o.Start <= s.Start && s.Start < o.End {
						atOnce++
					}
					overlaps := o.End > s.Start // o had not ended when s started
					before, same := stageOf[other] < stageOf[name], stageOf[other] == stageOf[name]
					switch {
					case !overlaps:
					case !build && otherBuild && (before || same):
						t.Errorf("%s started before %s had ended (A1)", name, other)
					case !build && before:
						t.Errorf("%s started before %s of an earlier stage had ended (S1)", name, other)
					case build && before && !p.Pipeline.BuildAhead:
						t.Errorf("%s started before %s of an earlier stage had ended (A2)", name, other)
					}
				}
				limit := p.Pipeline.DeployParallelism
				if build {
					limit = p.Pipeline.BuildParallelism
				}
				if atOnce > limit {
					t.Errorf("%d at once when %s started, limit %d (A1)", atOnce, name, limit)
				}
			}
			for _, s := range record.Services {
				if image := p.Service(s.Service).Image.Build; s.State == runtime.Done && image != "" {
					if _, fails := work("Builder.Build " + image); fails {
						t.Errorf("%s is done with an image whose build failed", s.Service)
					}
				}
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if failures < 100 {
		t.Errorf("only %d failures", failures)
	}
}
