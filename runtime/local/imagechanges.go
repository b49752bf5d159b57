package local

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// An ImageChange says in what an image of a service that is built differs from the deployed
// one.
type ImageChange struct {
	Name     string `json:"name,omitempty"`     // of the image; empty: the service's own
	Deployed string `json:"deployed,omitempty"` // by digest; empty: the environment has none
	// Made is when the deployed image was built; zero: not known.
	Made time.Time `json:"made,omitzero"`
	// Same says that the deployed image has the same identity.
	Same bool `json:"same"`
	// Known says that it is known what the deployed image was built from: versions of pipe
	// that did not note it have built others.
	Known   bool                  `json:"known"`
	Changes []runtime.InputChange `json:"changes"`
	// Bases are the base images of the deployed image (I9); nil: not known, or none.
	Bases []runtime.BaseImage `json:"bases,omitempty"`
}

// ExplainImages compares the images that a run of p would build for a service with those that
// the environment was deployed with. It builds and changes nothing.
func (r *Runtime) ExplainImages(ctx context.Context, p *plan.Plan, service string) ([]ImageChange, error) {
	key := runtime.KeyOf(p)
	env, err := r.Store.Environment(ctx, key)
	if err != nil {
		return nil, err
	}
	specs, err := r.BuildSpecs(ctx, runtime.Request{Environment: key, Plan: p}, service)
	if err != nil {
		return nil, err
	}
	all := []ImageChange{}
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		spec := specs[name]
		identity, is, err := r.inputs(ctx, spec)
		if err != nil {
			return nil, err
		}
		c := ImageChange{Name: name, Deployed: env.Images[plan.ImageKey(service, name)], Changes: []runtime.InputChange{}}
		if c.Deployed == "" {
			all = append(all, c)
			continue
		}
		ref := r.Registry.Ref(spec.ID, identity)
		digest, err := r.Registry.Resolve(ctx, ref)
		if err != nil && !errors.Is(err, runtime.ErrNotFound) {
			return nil, err
		}
		c.Same = err == nil && runtime.ByDigest(ref, digest) == c.Deployed
		was, err := r.images.Made(ctx, c.Deployed)
		if err != nil && !errors.Is(err, runtime.ErrNotFound) {
			return nil, err
		}
		c.Made, c.Known, c.Bases = was.At, was.Inputs != nil, was.Bases
		if c.Known && !c.Same {
			for _, change := range is.Since(was.Inputs) {
				if change.Kind == runtime.InputImage && spec.ImageParam(change.Name) != "" {
					change.Kind, change.Name = "image of", spec.ImageArg(change.Name)
				}
				c.Changes = append(c.Changes, change)
			}
		}
		all = append(all, c)
	}
	return all, nil
}
