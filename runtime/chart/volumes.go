package chart

import (
	"fmt"
	"slices"

	"github.com/pipelinefile/pipe/plan"
)

type volume struct {
	Name         string      `json:"name"`
	Path         string      `json:"path"`
	Size         string      `json:"size"`
	SubPath      string      `json:"subPath,omitempty"`
	StorageClass string      `json:"storageClass,omitempty"`
	Access       plan.Access `json:"access,omitempty"`
}

// otherVolumes are the volumes of a pod that are not claims of the chart.
type otherVolumes struct {
	Claims  []claim
	Scratch []scratch
}

// A claim is mounted at one path or more: a pod has it once.
type claim struct {
	Name   string      `json:"name"`
	Claim  string      `json:"claim"`
	Access plan.Access `json:"access,omitempty"`
	Mounts []mount     `json:"mounts"`
}

type mount struct {
	Path     string `json:"path"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

type scratch struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Size   string `json:"size,omitempty"`
	Memory bool   `json:"memory,omitempty"`
}

// volumes adds the volumes of a service, and reports whether pipe creates one of them.
func (v *values) volumes(w plan.Workload) (own bool) {
	for _, m := range w.Volumes {
		v.Volumes = append(v.Volumes, volume{Name: m.Name, Path: m.Path, Size: m.Size, StorageClass: m.StorageClass, Access: m.Access})
	}
	own = len(v.Volumes) > 0
	for _, m := range w.Mounts {
		own = own || m.Disk != nil
		at := mount{m.Path, m.ReadOnly}
		i := slices.IndexFunc(v.Claims, func(c claim) bool { return c.Claim == m.Claim })
		if i >= 0 {
			v.Claims[i].Mounts = append(v.Claims[i].Mounts, at)
			continue
		}
		v.Claims = append(v.Claims, claim{v.unused("claim", len(v.Claims)), m.Claim, m.Access, []mount{at}})
	}
	for i, s := range w.Scratch {
		v.Scratch = append(v.Scratch, scratch{v.unused("scratch", i), s.Path, s.Size, s.Memory})
	}
	return own
}

// unused returns a name for volume i of a kind that no volume of the service has.
func (v *values) unused(kind string, i int) string {
	name := fmt.Sprintf("%s-%d", kind, i+1)
	for slices.ContainsFunc(v.Volumes, func(have volume) bool { return have.Name == name }) {
		name += "-of-pipe"
	}
	return name
}

// mounted reports whether something is mounted at the path.
func (v *values) mounted(path string) bool {
	return slices.ContainsFunc(v.Volumes, func(have volume) bool { return have.Path == path }) ||
		slices.ContainsFunc(v.Scratch, func(have scratch) bool { return have.Path == path }) ||
		slices.ContainsFunc(v.Claims, func(have claim) bool {
			return slices.ContainsFunc(have.Mounts, func(m mount) bool { return m.Path == path })
		})
}
