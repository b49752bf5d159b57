package runtime_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

func TestDeployTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runtimetest.NewWorld()
		w.Takes = func(op, subject string) time.Duration { return time.Second }
		w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
		p := pipeline(2)
		service(p, 1, "redis", plan.ImageSource{Mirror: "redis:7"})
		for i := range 20 {
			app(p, 2, fmt.Sprintf("a%02d", i))
		}
		start := time.Now()
		record, err := run(t, w, runtime.Request{Plan: p})
		if err != nil {
			t.Fatal(err)
		}
		// A copy and a deploy, then 20 builds and 20 deploys, seven at a time.
		if got, want := time.Since(start), 8*time.Second; got != want {
			t.Errorf("first run took %v, want %v", got, want)
		}
		for _, s := range record.Services {
			if s.State != runtime.Done {
				t.Errorf("%s is %s", s.Service, s.State)
			}
		}
		start = time.Now()
		record, err = run(t, w, runtime.Request{Plan: p})
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("second run took %v, want 0s", got)
		}
		for _, s := range record.Services {
			if s.State != runtime.Unchanged {
				t.Errorf("%s is %s", s.Service, s.State)
			}
		}
	})
}
