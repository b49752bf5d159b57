package runtime_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestSkippedUsed: a run and its preview warn of a service that uses a skipped one,
// unless the environment has that one or the run deploys it.
func TestSkippedUsed(t *testing.T) {
	w := runtimetest.NewWorld()
	w.Registry.Upstream("redis:7", plan.DigestOf([]byte("redis")))
	p := pipeline(1)
	service(p, 1, "cache", plan.ImageSource{Mirror: "redis:7"}).Skip = true
	service(p, 1, "db", plan.ImageSource{Mirror: "redis:7"}).Skip = true
	api := service(p, 1, "api", plan.ImageSource{Mirror: "redis:7"})
	api.Pos = plan.Pos{File: "Pipelinefile", Line: 3, Col: 1}
	api.Uses = []string{"cache"}
	api.Workload.Env = []plan.EnvVar{{Name: "DB", Secret: &plan.SecretRef{Service: "db", Key: "url"}}}
	service(p, 1, "web", plan.ImageSource{Mirror: "redis:7"}).Uses = []string{"api"}

	warned := func(services ...string) []string {
		t.Helper()
		var preview, ran []string
		steps, err := w.Runtime().Preview(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: staging, Plan: p, Services: services})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			for _, d := range s.Warnings {
				preview = append(preview, d.Message)
			}
		}
		if _, err := run(t, w, runtime.Request{Plan: p, Services: services, Events: func(e runtime.Event) {
			if warned, ok := e.Body.(runtime.Warned); ok {
				ran = append(ran, warned.Diagnostic.Message)
				if d := warned.Diagnostic; d.Pos != api.Pos || d.Severity != plan.SeverityWarning {
					t.Errorf("warning %+v", d)
				}
			}
		}}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(preview, ran); diff != "" {
			t.Errorf("warnings (-preview +run):\n%s", diff)
		}
		return ran
	}
	cache, db := "api uses cache, which is skipped and not deployed: nothing answers at cache", "api uses db, which is skipped and not deployed: nothing answers at db"
	for _, step := range []struct{ services, want string }{
		{"", cache + "\n" + db},
		{"web", ""},                // what it uses is deployed
		{"api", cache + "\n" + db}, // named, it still finds nobody
		{"api cache", db},          // the run deploys it
		{"", db},                   // the environment has it
	} {
		if got := strings.Join(warned(strings.Fields(step.services)...), "\n"); got != step.want {
			t.Errorf("services %q: %s\nwant %s", step.services, got, step.want)
		}
	}
}
