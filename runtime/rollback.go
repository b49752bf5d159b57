package runtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// Rollback completes a request that rolls an environment back to what a run has
// deployed. RollbackTo is the ID of that run, or a unique prefix or suffix of it. The
// result has the plan of that run, with its images, by digest, and deploys the services
// that the run deployed unless req names some; its other fields are those of req.
// Services that the run skipped are left out. The current overrides apply.
//
// [Runtime.Run] completes a request with RollbackTo and without Plan in the same way.
func (e Environments) Rollback(ctx context.Context, req Request) (Request, error) {
	runs, err := e.Store.Runs(ctx, req.Environment)
	if err != nil {
		return Request{}, err
	}
	id, err := findRun(req.Environment, runs, req.RollbackTo)
	if err != nil {
		return Request{}, err
	}
	record, err := e.Store.Run(ctx, req.Environment, id)
	if err != nil {
		return Request{}, err
	}
	switch {
	case record.Action != Deploy:
		return Request{}, fmt.Errorf("run %s was a %s, not a deploy; cannot roll back to it", id, record.Action)
	case record.End.IsZero():
		return Request{}, fmt.Errorf("run %s has not ended, or its process died; choose a run that succeeded", id)
	case record.Error != "":
		return Request{}, fmt.Errorf("run %s failed (%s); choose a run that succeeded", id, record.Error)
	case record.Plan == nil:
		return Request{}, fmt.Errorf("run %s was recorded without its plan, by an older version of pipe; cannot roll back to it", id)
	}
	req.Action, req.Plan, req.Commit, req.RollbackTo = Deploy, record.Plan, record.Commit, id
	req.Images = make(map[string]string)
	var deployed []string
	for _, s := range record.Services {
		if s.State == Done || s.State == Unchanged {
			deployed = append(deployed, s.Service)
		}
		for name, ref := range s.allImages() {
			req.Images[plan.ImageKey(s.Service, name)] = ref
		}
		for name, ref := range s.Mirrored {
			req.Images[plan.ImageKey(s.Service, name)] = ref
		}
	}
	switch {
	case len(record.Services) == len(record.Plan.Services): // a run of the whole environment
	case len(deployed) == 0:
		return Request{}, fmt.Errorf("run %s deployed nothing; cannot roll back to it", id)
	case req.Services == nil:
		req.Services = deployed
	}
	return req, nil
}

// findRun returns the ID of the run that part identifies.
func findRun(key EnvironmentKey, runs []RunRecord, part string) (string, error) {
	var found []string
	for _, r := range runs {
		if r.ID == part {
			return part, nil
		}
		if part != "" && (strings.HasPrefix(r.ID, part) || strings.HasSuffix(r.ID, part)) {
			found = append(found, r.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("run %s of environment %s: %w; pipe history %s lists the stored runs", part, key.Name, ErrNotFound, key.Name)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%q matches %d runs: %s", part, len(found), some(found, 5))
}
