package store

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime"
)

// Used is what the state of a cluster says about images.
type Used struct {
	// Images are the references that environments and records of runs name, with those
	// environments, as "pipeline/name".
	Images map[string][]string
	// Environments are the environments by their namespace.
	Environments map[string]string
	// Runs are the leases that are held, each with the version of its last renewal.
	Runs map[string]string
}

// Used reads the state of all environments, in whatever namespace it is kept. An entry that
// cannot be read is an error, because it may name images. The leases are read first: a run
// that holds none any more has recorded its images.
func (s *Store) Used(ctx context.Context) (*Used, error) {
	used := &Used{Images: make(map[string][]string), Environments: make(map[string]string), Runs: make(map[string]string)}
	leases, err := s.client.CoordinationV1().Leases("").List(ctx, metav1.ListOptions{LabelSelector: labels(kindLease, runtime.EnvironmentKey{}).selector()})
	if err != nil {
		return nil, fmt.Errorf("list the leases of runs: %w", translate(ctx, err))
	}
	for _, l := range leases.Items {
		key := keyOf(l.Labels, l.Annotations)
		holder := ""
		if l.Spec.HolderIdentity != nil {
			holder = *l.Spec.HolderIdentity
		}
		// The holder is another one for each run.
		used.Runs[fmt.Sprintf("%s, by %s (%s)", short(key), l.Annotations[annotationHolder], holder)] = l.ResourceVersion
	}
	add := func(key runtime.EnvironmentKey, ref string) {
		if ref != "" {
			used.Images[ref] = append(used.Images[ref], short(key))
		}
	}
	entries, bad, err := s.listEntries(ctx, "", labels(kindEnvironment, runtime.EnvironmentKey{}))
	if err != nil {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	for _, e := range entries {
		env := &runtime.Environment{}
		if err := json.Unmarshal([]byte(e.text), env); err != nil {
			bad = append(bad, e.damaged(err))
			continue
		}
		used.Environments[env.Key.Namespace()] = short(env.Key)
		for _, ref := range env.Images {
			add(env.Key, ref)
		}
	}
	runs, more, err := s.listEntries(ctx, "", labels(kindRun, runtime.EnvironmentKey{}))
	if err != nil {
		return nil, fmt.Errorf("list the records of runs: %w", err)
	}
	bad = append(bad, more...)
	for _, e := range runs {
		var run runtime.RunRecord
		if err := json.Unmarshal(e.fields[fieldRun], &run); err != nil {
			bad = append(bad, e.damaged(err))
			continue
		}
		for _, s := range run.Services {
			add(keyOf(e.labels, e.annotations), s.Image)
			for _, images := range []map[string]string{s.Images, s.Mirrored} {
				for _, ref := range images {
					add(keyOf(e.labels, e.annotations), ref)
				}
			}
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("it is not known which images it names: %w", bad[0])
	}
	return used, nil
}

func short(key runtime.EnvironmentKey) string { return key.Pipeline + "/" + key.Name }
