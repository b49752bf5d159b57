package plan_test

import (
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

// A service of the type MANIFESTS consists of the objects of its sources.
func ExampleManifestSource() {
	s := plan.Service{
		Name: "rules", Type: plan.Manifests,
		Manifests: []plan.ManifestSource{
			{File: "k8s/quota.yaml"},
			{Object: plan.Values{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "rules"}}},
		},
	}
	for _, source := range s.Manifests {
		fmt.Println(source)
	}
	fmt.Println(s.Generated())
	// Output:
	// k8s/quota.yaml
	// ConfigMap rules
	// false
}
