package runtime

import (
	"cmp"
	"fmt"

	"github.com/pipelinefile/pipe/plan"
)

// An EnvironmentKey names an environment, and where it is.
type EnvironmentKey struct {
	Pipeline string `json:"pipeline"`
	Name     string `json:"name"`
	// In is the Kubernetes namespace, if it is not "<pipeline>-<environment>": see At.
	// Labels do not contain it: see Owner.
	In string `json:"namespace,omitempty"`
}

// KeyOf returns the environment that p is for.
func KeyOf(p *plan.Plan) EnvironmentKey {
	return EnvironmentKey{Pipeline: p.Pipeline.Name, Name: p.Environment.Name}.At(p.Namespace())
}

// Namespace returns the Kubernetes namespace of the environment (SPEC §1).
func (k EnvironmentKey) Namespace() string {
	return cmp.Or(k.In, plan.Namespace(k.Pipeline, k.Name))
}

// At returns the key of the environment in a namespace. If that is empty, it is the
// default one.
func (k EnvironmentKey) At(namespace string) EnvironmentKey {
	if k.In = namespace; k.In == plan.Namespace(k.Pipeline, k.Name) {
		k.In = ""
	}
	return k
}

// Owner returns the key as the labels of objects contain it: without the namespace. It is
// what [OwnerOf] returns for objects of the environment.
func (k EnvironmentKey) Owner() EnvironmentKey { return k.At("") }

// String names the environment and its pipeline.
func (k EnvironmentKey) String() string {
	return fmt.Sprintf("environment %s of pipeline %s", k.Name, k.Pipeline)
}
