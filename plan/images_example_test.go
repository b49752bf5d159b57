package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleNamedImage() {
	show(plan.NamedImage{Name: "proxy", ImageSource: plan.ImageSource{Mirror: "envoyproxy/envoy:v1.31.0"}})
	// Output: {"name":"proxy","mirror":"envoyproxy/envoy:v1.31.0"}
}

func ExampleService_AllImages() {
	s := plan.Service{
		Name:   "api",
		Image:  plan.ImageSource{Build: "api"},
		Images: []plan.NamedImage{{Name: "proxy", ImageSource: plan.ImageSource{Build: "api/proxy"}}},
	}
	for name, from := range s.AllImages() {
		fmt.Printf("%q %s\n", name, from.Build)
	}
	// Output:
	// "" api
	// "proxy" api/proxy
}

func ExampleService_OthersImages() {
	s := plan.Service{Name: "queue", Type: plan.Helm, Chart: &plan.Chart{Ref: "charts/nats"}, MirrorImages: true}
	fmt.Println(s.OthersImages())
	// Output: those of its chart, copied into the registry
}

func ExampleImageKey() {
	fmt.Println(plan.ImageKey("api", ""), plan.ImageKey("api", "proxy"))
	// Output: api api/proxy
}

func ExampleBuiltFor() {
	fmt.Println(plan.BuiltFor("api"), plan.BuiltFor("api/proxy"))
	// Output: api api
}

func ExampleBase() {
	p := evaluate(`
base = container("tools", image = "tools:1")
application("api", source = local("api"), build = dockerfile(args = {"BASE": base.image}))
`)
	b := *p.Build("api")
	show(b.ImageArgs)
	// The runtime adds what it has found.
	b.Bases = map[string]plan.Base{"BASE": {Identity: "sha256:ab", Ref: "registry.example.com/tools@sha256:ab"}}
	fmt.Println(b.Bases["BASE"].Ref)
	// Output:
	// {"BASE":{"mirror":"tools:1"}}
	// registry.example.com/tools@sha256:ab
}
