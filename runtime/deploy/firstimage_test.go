package deploy_test

import (
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// TestFirstImage: a service whose image is not built yet, and one with a sidecar that is not,
// are checked and deployed in an environment that has other services (D8).
func TestFirstImage(t *testing.T) {
	t.Parallel()
	config := testenv.Cluster(t)
	rt := runtimeOn(t, config)
	key := runtime.EnvironmentKey{Pipeline: runtimetest.Unique("first"), Name: "dev"}
	t.Cleanup(func() { deleteNamespace(client(t, config), key.Namespace()) })
	web := container("web")
	web.Stage, web.Image = "one", plan.ImageSource{Ref: testImage}
	p := &plan.Plan{
		Version: plan.Version, Pipeline: plan.Pipeline{Name: key.Pipeline}, Environment: plan.EnvironmentRef{Name: key.Name, Kind: plan.KindEnvironment},
		Stages: []plan.Stage{{Name: "one", Order: 1}}, Services: []plan.Service{web},
	}
	deploy := func() {
		t.Helper()
		record, err := rt.Run(t.Context(), runtime.Request{Action: runtime.Deploy, Environment: key, Plan: p, By: "test"})
		if err != nil || record.Services[len(record.Services)-1].State != runtime.Done {
			t.Fatalf("%+v, %v", record.Services, explainedRun(err))
		}
	}
	deploy()
	build := func(id string) {
		p.Builds = append(p.Builds, plan.BuildSpec{ID: id, Source: plan.Source{Path: id}, Context: ".", Dockerfile: "Dockerfile"})
	}
	api := container("api")
	api.Type, api.Stage, api.Image = plan.Application, "one", plan.ImageSource{Build: "api"}
	build("api")
	p.Services = append(p.Services, api)
	deploy()
	p.Services[1].Images = []plan.NamedImage{{Name: "agent", ImageSource: plan.ImageSource{Build: "agent"}}}
	p.Services[1].Workload.Sidecars = []plan.PodContainer{{Name: "agent"}}
	build("agent")
	deploy()
}
