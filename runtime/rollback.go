package runtime

import (
	"context"
	"fmt"
	"strings"
)

// Rollback returns the request that rolls an environment back to what a run
// has deployed: the plan of that run, with its images, by digest. The run is given by
// its ID or by a unique prefix or suffix of it. Services that the run skipped
// are left out; if the run was limited to some services, so are all others. The
// current overrides apply.
func (r *Runtime) Rollback(ctx context.Context, key EnvironmentKey, run string) (Request, error) {
	runs, err := r.Store.Runs(ctx, key)
	if err != nil {
		return Request{}, err
	}
	id, err := findRun(key, runs, run)
	if err != nil {
		return Request{}, err
	}
	record, err := r.Store.Run(ctx, key, id)
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
	req := Request{
		Action: Deploy, Environment: key, Plan: record.Plan, Commit: record.Commit, RollbackTo: id,
		Images: make(map[string]string),
	}
	for _, s := range record.Services {
		if s.State == Done || s.State == Unchanged {
			req.Services = append(req.Services, s.Service)
		}
		if s.Image != "" {
			req.Images[s.Service] = s.Image
		}
	}
	if len(record.Services) == len(record.Plan.Services) {
		req.Services = nil
	} else if len(req.Services) == 0 {
		return Request{}, fmt.Errorf("run %s deployed nothing; cannot roll back to it", id)
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
