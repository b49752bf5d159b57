package chart

import (
	"fmt"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart"

	"github.com/pipelinefile/pipe/internal/kubepatch"
	"github.com/pipelinefile/pipe/plan"
)

// patchValues are the patches of the objects, compiled for templates.
type patchValues struct {
	Patches []patch
}

type patch struct {
	Kind string         `json:"kind"`
	Name string         `json:"name,omitempty"`
	Ops  []kubepatch.Op `json:"ops"`
}

// patches adds the patches of a service.
func (v *values) patches(s plan.Service) error {
	for _, p := range s.Workload.Patches.Patches {
		ops, found := kubepatch.Compile(p)
		if len(found) > 0 { // the evaluation has checked it, by the fields that it knows
			return fmt.Errorf("%s: patch of %s: %v: %s", p.Pos, p.Kind, found[0].Path, found[0].Message)
		}
		v.Patches = append(v.Patches, patch{p.Kind, p.Name, ops})
	}
	return nil
}

// patched makes the templates of objects partials of one that patches them.
func patched(list []*chart.File) []*chart.File {
	const at = "templates/"
	var names []string
	for _, f := range list {
		name, isTemplate := strings.CutPrefix(f.Name, at)
		if isTemplate && path.Ext(name) == ".yaml" && name != "patched.yaml" {
			f.Name = at + "_" + name
			names = append(names, fmt.Sprintf("%q", "_"+name))
		}
	}
	for _, f := range list {
		if f.Name == at+"patched.yaml" {
			f.Data = append([]byte("{{- $files := list "+strings.Join(names, " ")+" -}}\n"), f.Data...)
		}
	}
	return list
}
