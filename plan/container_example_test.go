package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExamplePodContainers() {
	p := evaluate(`
application("api", source = local("api"), init = [init("migrate", command = ["/migrate"])],
    sidecars = [sidecar("proxy", image = "envoyproxy/envoy:v1.31.0")])
`)
	w := p.Services[0].Workload
	fmt.Println(len(w.Init), len(w.Sidecars))
	// Output: 1 1
}

func ExamplePodContainers_All() {
	w := plan.Workload{PodContainers: plan.PodContainers{
		Init:     []plan.PodContainer{{Name: "migrate"}},
		Sidecars: []plan.PodContainer{{Name: "proxy"}},
	}}
	for what, c := range w.PodContainers.All() {
		fmt.Println(what, c.Name)
	}
	// Output:
	// init container migrate
	// sidecar proxy
}

func ExamplePodContainer() {
	p := evaluate(`container("web", image = "nginx:1", sidecars = [sidecar("logs", image = "fluent:1", args = ["-v"])])`)
	c := p.Services[0].Workload.Sidecars[0]
	fmt.Println(c.Name, c.Args, c.Pos)
	// Output: logs [-v] Pipelinefile:2:49
}
