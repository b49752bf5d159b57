package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// runName returns the name of the object of a run.
func runName(key runtime.EnvironmentKey, id string) string {
	return objectName(key) + ".run." + strings.ToLower(id)
}

// The fields and annotations of the entry of a run.
const (
	fieldRun        = "run"
	annotationStart = "pipelinefile.github.io/start"
	annotationPlan  = "pipelinefile.github.io/plan" // name of the entry of its plan
)

// AddRun implements [runtime.Store]. It removes the oldest records in excess of
// Options.KeepRuns.
func (s *Store) AddRun(ctx context.Context, key runtime.EnvironmentKey, run runtime.RunRecord) error {
	e := &entry{
		namespace:   s.namespace(key),
		name:        runName(key, run.ID),
		labels:      labels(kindRun, key),
		annotations: map[string]string{annotationStart: run.Start.UTC().Format(time.RFC3339Nano)},
	}
	data, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("record of run %s: %w", run.ID, err)
	}
	e.fields = map[string][]byte{fieldRun: data}
	created := false
	write := func() (err error) {
		if run.Plan != nil {
			if e.annotations[annotationPlan], err = s.addPlan(ctx, key, run); err != nil {
				return err
			}
		}
		created, err = s.putEntry(ctx, e, run.End.IsZero())
		return err
	}
	if run.End.IsZero() {
		err = s.inNamespace(ctx, key, write)
	} else { // if the namespace is gone, so is the environment, and nothing of it must be created
		err = translate(ctx, write())
	}
	if err == nil && created {
		err = s.trimRuns(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("record of run %s: %w", run.ID, err)
	}
	return nil
}

// addPlan stores the plan of a run, unless it is already stored for another one, and
// returns the name of its entry.
func (s *Store) addPlan(ctx context.Context, key runtime.EnvironmentKey, run runtime.RunRecord) (string, error) {
	data, err := json.Marshal(run.Plan)
	if err != nil {
		return "", err
	}
	digest := strings.TrimPrefix(string(plan.DigestOf(data)), "sha256:")
	e := &entry{
		namespace: s.namespace(key),
		name:      objectName(key) + ".plan." + digest[:32],
		labels:    labels(kindPlan, key),
		fields:    map[string][]byte{fieldPlan: data},
	}
	if !run.End.IsZero() { // it was added when the run started
		return e.name, nil
	}
	err = s.writeEntry(ctx, e)
	if apierrors.IsAlreadyExists(err) {
		err = nil
	}
	return e.name, err
}

// Run implements [runtime.Store].
func (s *Store) Run(ctx context.Context, key runtime.EnvironmentKey, id string) (*runtime.RunRecord, error) {
	run, err := s.run(ctx, key, id)
	if err != nil {
		return nil, fmt.Errorf("run %s of environment %s of pipeline %s: %w", id, key.Name, key.Pipeline, err)
	}
	return run, nil
}

func (s *Store) run(ctx context.Context, key runtime.EnvironmentKey, id string) (*runtime.RunRecord, error) {
	e, err := s.readEntry(ctx, s.namespace(key), runName(key, id))
	if err != nil {
		return nil, err
	}
	run := &runtime.RunRecord{}
	if err := json.Unmarshal(e.fields[fieldRun], run); err != nil {
		return nil, err
	}
	if name := e.annotations[annotationPlan]; name != "" {
		kept, err := s.readEntry(ctx, s.namespace(key), name)
		if err == nil {
			err = json.Unmarshal(kept.fields[fieldPlan], &run.Plan)
		}
		if err != nil {
			return nil, fmt.Errorf("its plan: %w", err)
		}
	}
	return run, nil
}

// trimRuns removes the oldest records in excess of Options.KeepRuns, and the plans
// that only they use. It reads only the metadata of the objects.
func (s *Store) trimRuns(ctx context.Context, key runtime.EnvironmentKey) error {
	list, err := s.listMetadata(ctx, s.namespace(key), labels(kindRun, key))
	if err != nil {
		return err
	}
	runs := list[:0]
	for _, m := range list {
		if m.Annotations[annotationStart] != "" { // the pieces of a large one are removed with it
			runs = append(runs, m)
		}
	}
	if len(runs) <= s.opts.KeepRuns {
		return nil
	}
	slices.SortFunc(runs, func(a, b metav1.ObjectMeta) int {
		return cmp.Or(cmp.Compare(b.Annotations[annotationStart], a.Annotations[annotationStart]), cmp.Compare(b.Name, a.Name))
	})
	kept := make(map[string]bool)
	for _, m := range runs[:s.opts.KeepRuns] {
		kept[m.Annotations[annotationPlan]] = true
	}
	for _, m := range runs[s.opts.KeepRuns:] {
		if err := s.deleteEntry(ctx, m.Namespace, m.Name); err != nil {
			return err
		}
	}
	plans, err := s.listMetadata(ctx, s.namespace(key), labels(kindPlan, key), "!"+labelPiece)
	if err != nil {
		return err
	}
	for _, m := range plans {
		if !kept[m.Name] {
			if err := s.deleteEntry(ctx, m.Namespace, m.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Runs implements [runtime.Store]. For a record that cannot be read, only the ID and the
// start of the run are returned.
func (s *Store) Runs(ctx context.Context, key runtime.EnvironmentKey) ([]runtime.RunRecord, error) {
	entries, bad, err := s.listEntries(ctx, s.namespace(key), labels(kindRun, key))
	if err != nil {
		return nil, fmt.Errorf("runs of environment %s of pipeline %s: %w", key.Name, key.Pipeline, err)
	}
	var runs []runtime.RunRecord
	for _, e := range entries {
		var run runtime.RunRecord
		if err := json.Unmarshal(e.fields[fieldRun], &run); err != nil {
			bad = append(bad, e.damaged(fmt.Errorf("it cannot be read: %w", err)))
			continue
		}
		runs = append(runs, run)
	}
	for _, d := range bad {
		begun, _ := time.Parse(time.RFC3339Nano, d.annotations[annotationStart]) // zero: not known
		runs = append(runs, runtime.RunRecord{
			ID: strings.TrimPrefix(d.name, runName(key, "")), Start: begun, End: begun, Error: d.Error(),
		})
	}
	slices.SortFunc(runs, func(a, b runtime.RunRecord) int {
		return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(b.ID, a.ID))
	})
	return runs, nil
}
