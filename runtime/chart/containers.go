package chart

import "github.com/pipelinefile/pipe/plan"

// containerValues are the values of the containers that pods have besides the first.
type containerValues struct {
	Images   map[string]string // by name; empty until pipe or the team sets them
	Init     []container
	Sidecars []container
}

type container struct {
	Name      string                       `json:"name"`
	Command   []string                     `json:"command,omitempty"`
	Args      []string                     `json:"args,omitempty"`
	Env       []envVar                     `json:"env,omitempty"`
	Health    *health                      `json:"health,omitempty"`
	Resources map[string]map[string]string `json:"resources,omitempty"`
	Mounts    []string                     `json:"mounts,omitempty"`
}

// containers adds the containers of a service.
func (v *values) containers(s plan.Service, keyOf KeyOf) {
	w := s.Workload
	for _, im := range s.Images {
		if v.Images == nil {
			v.Images = make(map[string]string, len(s.Images))
		}
		v.Images[im.Name] = ""
	}
	v.Init, v.Sidecars = newContainers(w.Init, keyOf), newContainers(w.Sidecars, keyOf)
}

func newContainers(list []plan.PodContainer, keyOf KeyOf) []container {
	var out []container
	for _, c := range list {
		out = append(out, container{
			Name: c.Name, Command: c.Command, Args: c.Args, Env: newEnv(c.Env, keyOf),
			Health: newHealth(c.Health), Resources: resources(c.Resources), Mounts: c.Mounts,
		})
	}
	return out
}
