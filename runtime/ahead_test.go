package runtime_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestBuiltAhead: the record says for how long images were made before their stage began
// (A2). All stages deploy for two seconds.
func TestBuiltAhead(t *testing.T) {
	type builds map[int][]time.Duration // of each stage, how long they take
	for _, test := range []struct {
		name   string
		off    bool // no build ahead
		slots  int
		builds builds
		copied time.Duration // an image of stage 2 is copied
		crash  bool          // the deploy of stage 1 fails
		want   time.Duration
	}{
		{name: "not ahead", off: true, builds: builds{1: {1 * time.Second}, 2: {1 * time.Second}}},
		{name: "nothing to build", builds: builds{1: {1 * time.Second}}},
		{name: "one", builds: builds{1: {1 * time.Second}, 2: {1 * time.Second}}, want: time.Second},
		{name: "a copy", builds: builds{1: {1 * time.Second}}, copied: time.Second, want: time.Second},
		// Stage 2 begins after 3 seconds.
		{name: "until the stage began", builds: builds{1: {1 * time.Second}, 2: {time.Minute}}, want: 3 * time.Second},
		{name: "concurrently", builds: builds{1: {1 * time.Second}, 2: {1 * time.Second, 2 * time.Second}}, want: 2 * time.Second},
		{name: "one after the other", slots: 1, builds: builds{1: {1 * time.Second}, 2: {1 * time.Second, 10 * time.Second}}, want: 2 * time.Second},
		{name: "with a gap", slots: 1, builds: builds{1: {1 * time.Second}, 2: {500 * time.Millisecond}, 3: {500 * time.Millisecond}}, want: time.Second},
		{name: "two stages", builds: builds{1: {1 * time.Second}, 2: {2 * time.Second}, 3: {2 * time.Second}}, want: 4 * time.Second},
		{name: "the stage did not begin", builds: builds{1: {1 * time.Second}, 2: {1 * time.Second}}, crash: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runtimetest.NewWorld()
				took := make(map[string]time.Duration)
				w.Takes = func(op, subject string) time.Duration {
					switch op {
					case "Deployer.Deploy":
						return 2 * time.Second
					case "Registry.Mirror":
						return test.copied
					}
					return took[subject]
				}
				p := pipeline(3)
				p.Pipeline.BuildAhead, p.Pipeline.BuildParallelism = !test.off, test.slots
				for stage := range 3 {
					for i, d := range test.builds[stage+1] {
						name := "s" + string(rune('1'+stage)) + string(rune('a'+i))
						app(p, stage+1, name)
						took[name] = d
					}
				}
				if test.copied > 0 {
					w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
					service(p, 2, "cache", plan.ImageSource{Mirror: "redis:7"})
				}
				if test.crash {
					p.Services[0].Chart = &plan.Chart{Ref: runtimetest.CrashingChart}
				}
				var ended *runtime.RunRecord
				record, err := run(t, w, runtime.Request{Plan: p, Events: func(e runtime.Event) {
					if end, ok := e.Body.(runtime.RunEnded); ok {
						ended = end.Record
					}
				}})
				if (err != nil) != test.crash {
					t.Fatal(err)
				}
				if record.Ahead != test.want || ended == nil || ended.Ahead != test.want {
					t.Errorf("built ahead for %v, want %v; the event has %+v", record.Ahead, test.want, ended)
				}
				if test.crash {
					return
				}
				again, err := run(t, w, runtime.Request{Plan: p})
				if err != nil || again.Ahead != 0 {
					t.Errorf("the next run built ahead for %v, %v", again.Ahead, err)
				}
			})
		})
	}
}
