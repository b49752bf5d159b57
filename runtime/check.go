package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// errForeseen is the error of the barrier of the checks: its services have ended.
var errForeseen = errors.New("the cluster would refuse what the run changes")

// checks returns the tasks that ask the cluster whether it would accept what the run
// changes (D8), the last of which ends when all of them have, and fails if the run is
// not to begin to write.
func (r *run) checks() []*sched.Task {
	if r.req.Action != Deploy {
		return nil
	}
	checked := &sched.Task{Name: "changes that the cluster would refuse", Class: -1}
	var tasks []*sched.Task
	deployed, charts := make(map[string]int), false
	for _, st := range r.scope.stages {
		before := earlier{st.index, deployed, charts}
		for _, s := range st.services {
			if s.err != nil || s.later != "" || r.sameAsDeployed(s) {
				continue
			}
			deployed[s.Name], charts = st.index, charts || s.Chart != nil
			release := r.release(s) // before its image is made
			if s.image != nil && release.Image == "" {
				// What it is going to be matters to nobody but the nodes.
				release.Image = r.env.Images[s.Name]
				if _, is := r.deployed[s.Name]; is && release.Image == "" {
					continue
				}
			}
			t := &sched.Task{Name: "check " + s.Name, Class: classCheck, Priority: st.index}
			t.Do = func(ctx context.Context) error {
				err := r.check(ctx, s, release, before)
				if ctx.Err() != nil {
					return err
				}
				s.err = err
				return nil
			}
			checked.Needs = append(checked.Needs, t)
			tasks = append(tasks, t)
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	checked.Do = func(context.Context) error {
		if r.foreseen() {
			return errForeseen
		}
		return nil
	}
	return append(tasks, checked)
}

// sameAsDeployed reports whether it is known that nothing of s changes.
func (r *run) sameAsDeployed(s *service) bool {
	if s.fingerprint == "" {
		return false // its image is not made yet
	}
	same, _ := r.unchanged(s)
	return same
}

// An earlier is what is deployed in the stages before one.
type earlier struct {
	stage    int
	deployed map[string]int // the stages of all services that are deployed
	charts   bool           // some of these bring charts of their own, which may change the rules of the cluster
}

// mayHelp reports whether what is deployed before may make the cluster accept a change.
func (e earlier) mayHelp(c RefusedChange) bool {
	stage, ok := e.deployed[c.Owner]
	return c.Rule && e.charts || ok && stage < e.stage
}

// check asks the cluster about one service. What earlier stages deploy may have the
// cluster accept what it refuses now: that is a warning.
func (r *run) check(ctx context.Context, s *service, release Release, before earlier) error {
	emit, stop := r.track.emit(s)
	defer stop()
	silent := time.AfterFunc(silence, func() { emit(WaitingFor{"the cluster to say whether it accepts what changes"}) })
	defer silent.Stop()
	err := guarded("check "+s.Name, func() error { return r.Deployer.Check(ctx, release, emit) })
	var refused *RefusedError
	if errors.As(err, &refused) && !slices.ContainsFunc(refused.Changes, func(c RefusedChange) bool { return !before.mayHelp(c) }) {
		emit(Warned{plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: s.Pos, Message: fmt.Sprintf("%s: the cluster would refuse this now: %v", s.Name, err),
			Hint: "what earlier stages deploy may change that",
		}})
		return nil
	}
	if err != nil {
		err = fmt.Errorf("check %s: %w", s.Name, err)
	}
	return err
}
