package local

import (
	"context"
	"maps"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A deployedImage is an image that a service of an environment was deployed with.
type deployedImage struct {
	service, name string
	ref           string // empty: the images of its chart or its manifests are not known
	build         string // the ID of the build that it is from; empty: from none
}

// deployedImages returns the images of an environment, in the order of the services of its plan, also
// those that charts and manifests name and that are copied.
func (r *Runtime) deployedImages(ctx context.Context, env *runtime.Environment) (all []deployedImage, err error) {
	mirrored, err := r.mirroredFor(ctx, env)
	if err != nil {
		return nil, err
	}
	for i := range env.Plan.Services {
		s := &env.Plan.Services[i]
		for name, source := range s.AllImages() {
			if ref := env.Images[plan.ImageKey(s.Name, name)]; ref != "" {
				all = append(all, deployedImage{s.Name, name, ref, source.Build})
			}
		}
		of, deployed := mirrored[s.Name]
		for _, name := range slices.Sorted(maps.Keys(of)) {
			all = append(all, deployedImage{service: s.Name, name: name, ref: of[name]})
		}
		if s.OthersImages() != "" && !s.MirrorImages && deployed {
			all = append(all, deployedImage{service: s.Name})
		}
	}
	return all, nil
}

// readDeployed calls read for each of the images that are named by digest, once, with the places that it
// has in all; at most limit calls are concurrent. reading, if set, is called before with their number.
// The error is the cause of the end of ctx.
func readDeployed(ctx context.Context, all []deployedImage, limit int, reading func(images int), read func(ref string, at []int)) error {
	at := make(map[string][]int)
	for i, im := range all {
		if _, _, digest := plan.CutImage(im.ref); digest != "" {
			at[im.ref] = append(at[im.ref], i)
		}
	}
	if reading != nil {
		reading(len(at))
	}
	concurrently(limit, slices.Sorted(maps.Keys(at)), func(ref string) { read(ref, at[ref]) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
