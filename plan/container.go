package plan

import "iter"

// PodContainers are the containers that the pods of a service have besides its first one
// (D25). Their images are in Service.Images, under their names.
type PodContainers struct {
	Init     []PodContainer `json:"init,omitempty"`     // run to their end before the others start, one after the other
	Sidecars []PodContainer `json:"sidecars,omitempty"` // run as long as the pod
}

// A PodContainer is one of [PodContainers].
type PodContainer struct {
	Name      string     `json:"name"` // unique in the service, and not that of the service
	Command   []string   `json:"command,omitempty"`
	Args      []string   `json:"args,omitempty"`
	Env       []EnvVar   `json:"env,omitempty"`
	Resources *Resources `json:"resources,omitempty"` // nil: none are set
	Health    *Health    `json:"health,omitempty"`    // nil: ready when it runs; init containers have none
	Mounts    []string   `json:"mounts,omitempty"`    // paths where the first container has a mount: it has the same ones
	Pos       Pos        `json:"pos"`                 // of the call that declares it
}

// All yields the containers with what they are.
func (c *PodContainers) All() iter.Seq2[string, *PodContainer] {
	return func(yield func(string, *PodContainer) bool) {
		for i := range c.Init {
			if !yield("init container", &c.Init[i]) {
				return
			}
		}
		for i := range c.Sidecars {
			if !yield("sidecar", &c.Sidecars[i]) {
				return
			}
		}
	}
}

// containerSecrets yields the secrets that they refer to, as [Service.SecretRefs] does.
func (c *PodContainers) containerSecrets() iter.Seq2[string, SecretRef] {
	return func(yield func(string, SecretRef) bool) {
		for what, of := range c.All() {
			for _, e := range of.Env {
				if e.Secret != nil && !yield("env "+e.Name+" of "+what+" "+of.Name, *e.Secret) {
					return
				}
			}
		}
	}
}
