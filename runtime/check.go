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

// errForeseen is the error of the barrier after the checks: the services that failed
// have ended.
var errForeseen = errors.New("the cluster would refuse what the run changes")

// checks returns the tasks that check whether the cluster would accept the changes of
// the run (D8). The last task is a barrier: it ends when all others have ended, and
// fails if the run must not start to write.
func (r *run) checks() []*sched.Task {
	if r.req.Action != Deploy {
		return nil
	}
	checked := &sched.Task{Name: "changes that the cluster would refuse", Class: -1}
	var tasks []*sched.Task
	var asked []*foreseen
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			if s.err != nil || s.later != "" || r.sameAsDeployed(s) {
				continue
			}
			f := &foreseen{service: s, at: Place{r.namespaceOf(s.Service), s.Name}, unknown: !s.Generated()}
			asked = append(asked, f)
			release, known := r.provisional(s)
			if _, is := r.deployed[s.Name]; is && !known {
				continue
			}
			t := &sched.Task{Name: "check " + s.Name, Class: classCheck, Priority: st.index}
			t.Do = func(ctx context.Context) error {
				checked, err := r.check(ctx, s, release)
				if ctx.Err() != nil {
					return err
				}
				f.Checked, f.err, f.unknown = checked, err, checked.Partial
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
		for _, f := range asked {
			f.awaited(asked)
			r.decide(f, asked)
		}
		together(asked)
		if r.foreseen() {
			return errForeseen
		}
		for _, f := range asked {
			r.showAdoptions(f.service, f.Adopted)
		}
		return nil
	}
	return append(tasks, checked)
}

// sameAsDeployed reports whether it is known that s does not change.
func (r *run) sameAsDeployed(s *service) bool {
	if s.fingerprint == "" {
		return false // its image does not exist yet
	}
	same, _ := r.unchanged(s)
	return same
}

// A foreseen is a service that changes, and what the cluster says about that.
type foreseen struct {
	*service
	Checked
	at      Place // of its release
	err     error
	unknown bool // what it has is not known: it has a chart that was not rendered
}

// awaited drops the objects that do not exist yet and that services deployed before, or
// beside, have.
func (f *foreseen) awaited(asked []*foreseen) {
	f.err = withoutAwaited(f.err, func(object ObjectRef) bool {
		return slices.ContainsFunc(asked, func(other *foreseen) bool {
			return other.stage.index <= f.stage.index && slices.Contains(other.Objects, object)
		})
	})
}

// withoutAwaited returns what is left of the error of a check without the objects that do
// not exist and that come.
func withoutAwaited(err error, comes func(ObjectRef) bool) error {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(refused.Changes), func(c RefusedChange) bool { return c.Awaited && comes(c.Object) })
	if len(left) == len(refused.Changes) {
		return err
	}
	if len(left) == 0 {
		return nil
	}
	return &RefusedError{Release: refused.Release, Changes: left}
}

// together gives the services that fail because of the same missing objects the same
// cause, which names all of them.
func together(asked []*foreseen) {
	services := make(map[string][]string) // by the text of what is missing
	causes := make(map[*foreseen]string)
	for _, f := range asked {
		var refused *RefusedError
		if f.service.err == nil || !errors.As(f.err, &refused) || slices.ContainsFunc(refused.Changes, func(c RefusedChange) bool { return !c.Awaited }) {
			continue
		}
		causes[f] = refused.Error()
		services[refused.Error()] = append(services[refused.Error()], f.Name)
	}
	for f, text := range causes {
		names := services[text]
		f.service.err = &CommonError{Text: fmt.Sprintf("%s: %s %s it", text, some(names, maxRelated), needs(names)), Err: f.service.err}
	}
}

// decide ends a service that the cluster would refuse, unless what earlier stages
// deploy may have the cluster accept all of it: that is a warning.
func (r *run) decide(f *foreseen, asked []*foreseen) {
	if f.err == nil {
		return
	}
	var refused *RefusedError
	if errors.As(f.err, &refused) && !slices.ContainsFunc(refused.Changes, func(c RefusedChange) bool { return !mayHelp(c, f, asked) }) {
		emit, stop := r.track.emit(f.service)
		defer stop()
		emit(Warned{plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: f.Pos, Message: fmt.Sprintf("%s: the cluster would refuse this now: %v", f.Name, f.err),
			Hint: "the services that earlier stages deploy may change that",
		}})
		return
	}
	f.service.err = fmt.Errorf("check %s: %w", f.Name, f.err)
}

// mayHelp reports whether a service that is deployed in a stage before that of f may
// have the cluster accept a change: it has what decides about that, or gives up an
// object. decide was called for all of these.
func mayHelp(c RefusedChange, f *foreseen, asked []*foreseen) bool {
	return slices.ContainsFunc(asked, func(before *foreseen) bool {
		if before.stage.index > f.stage.index || before.stage == f.stage && (!c.Awaited || before == f) || before.service.err != nil {
			return false
		}
		if before.at == c.Owner {
			return !slices.Contains(before.Objects, c.Object)
		}
		return len(c.Rules) > 0 && before.unknown || slices.ContainsFunc(c.Rules, func(rule string) bool { return slices.Contains(before.Rules, rule) })
	})
}

// check asks the cluster about one service.
func (r *run) check(ctx context.Context, s *service, release Release) (checked Checked, err error) {
	emit, stop := r.track.emit(s)
	defer stop()
	silent := time.AfterFunc(silence, func() { emit(WaitingFor{"the cluster to say whether it accepts what changes"}) })
	defer silent.Stop()
	err = catchPanic("check "+s.Name, func() error {
		checked, err = r.Deployer.Check(ctx, release, emit)
		return err
	})
	return checked, err
}
