package local

import (
	"context"
	"slices"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// mirroredFor returns the images that are deployed instead of those that charts and manifests name, by
// service and by the reference there, from the last record of a run that has deployed the service or
// has found it unchanged. A service with such a record and without such images has an empty map.
func (r *Runtime) mirroredFor(ctx context.Context, env *runtime.Environment) (map[string]map[string]string, error) {
	of := make(map[string]map[string]string)
	if !slices.ContainsFunc(env.Plan.Services, func(s plan.Service) bool { return s.MirrorImages || s.OthersImages() != "" }) {
		return of, nil
	}
	runs, err := r.Store.Runs(ctx, env.Key)
	if err != nil {
		return nil, err
	}
	for _, run := range runs { // newest first
		if run.Action != runtime.Deploy {
			continue
		}
		for _, s := range run.Services {
			if _, known := of[s.Service]; !known && (s.State == runtime.Done || s.State == runtime.Unchanged) {
				of[s.Service] = s.Mirrored
			}
		}
	}
	return of, nil
}
