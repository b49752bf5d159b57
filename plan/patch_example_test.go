package plan_test

import "fmt"

func ExamplePatch() {
	p := evaluate(`container("web", image = "nginx:1", patch = patch("Deployment", merge = {"spec": {"paused": True}}))`)
	patch := p.Services[0].Workload.Patches.Patches[0]
	fmt.Println(patch.Kind, patch.Merge)
	// Output: Deployment map[spec:map[paused:true]]
}

func ExamplePatches() {
	p := evaluate(`container("web", image = "nginx:1", patch = [patch("Service", json = [{"op": "add", "path": "/spec/type", "value": "NodePort"}])])`)
	show(p.Services[0].Workload.Patches)
	// Output: {"patches":[{"kind":"Service","json":[{"op":"add","path":"/spec/type","value":"NodePort"}],"pos":{"file":"Pipelinefile","line":2,"col":46}}]}
}
