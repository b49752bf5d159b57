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

// ErrLeaseLost is the cause of the cancellation of a run that could not renew
// its lease (A5): another run may hold the environment now.
var ErrLeaseLost = errors.New("the lease of the environment was lost; another run may hold it now")

// finishTime is the time limit for writes after a run was cancelled.
const finishTime = 15 * time.Second

// A run is one action in progress.
type run struct {
	*Runtime
	*Turn     // nil: the run belongs to no session
	req       Request
	namespace string
	env       *Environment // without a Revision: it does not exist yet
	scope     *scope
	track     *tracker
	claimed   bool                    // the namespace belongs to the environment
	ahead     *ahead                  // nil: no image is made before its stage
	commits   map[gitRef]*namedCommit // of the git sources that the run deploys

	// Set by look.
	set      *imageSet
	images   []*image            // of set, in running order of the stages that first need them
	deployed map[string]Deployed // by service: its release
	others   map[string]Deployed // by service: what has its name, and is not of the environment
	orphans  []Place             // releases of the environment that belong to no service of the plan
	// By service: the namespace of its release, if that was not moved to the one of the plan yet.
	elsewhere map[string]string
	missing   []MissingSecret // of the services to be deployed
	signer    plan.Signers    // who signs images: one, or nobody
	signerErr error           // why images cannot be signed, so that nothing can be built

	waits waits
	// In a session: records that the run has started. Services depend on it. Nil: that is
	// already recorded.
	beginning *sched.Task
}

// Run carries out req under the lease of the environment. It returns when
// all its work has ended, its events are delivered and the lease is
// released. Concurrently it deletes expired environments (E3).
//
// The record is always complete. It is nil only if the run did not start:
// the request is invalid, or the environment is locked, which is a
// *LockedError or, for a run that waited, a *SupersededError. If services failed,
// the error is a *RunError. If ctx was cancelled, the error wraps its cause; if
// the run was cancelled by another process, a *CancelledError; if the request timed
// out, ErrTimeout; and if the lease was lost, ErrLeaseLost. These also wrap
// the *RunError if services had failed before.
func (r *Runtime) Run(ctx context.Context, req Request) (*RunRecord, error) {
	req.collect = true
	return r.run(ctx, req)
}

func (r *Runtime) run(ctx context.Context, req Request) (record *RunRecord, err error) {
	if req, err = r.complete(ctx, req); err != nil {
		return nil, err
	}
	hide := r.hider(req.Plan)
	defer func() { err = redactError(err, hide) }()
	if req.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, req.Timeout, fmt.Errorf("%w after %s", ErrTimeout, req.Timeout))
		defer stop()
	}
	var x *run
	if req.turn == nil || !req.turn.hasNamespace() {
		if x, err = r.open(ctx, req); err == nil {
			err = x.claim(ctx)
		}
		if err != nil {
			return nil, err
		}
		req.turn.gotNamespace()
		hide = r.hider(x.req.Plan)
	}
	events := NewStream(redacting(req.Events, hide))
	defer events.Close()
	lease, waited, err := r.lock(ctx, req, events)
	if err != nil {
		return nil, err
	}
	if x == nil { // in a session that owns the namespace, in which a run rarely waits
		x, err = r.open(ctx, req)
	} else {
		x, err = x.underLock(ctx, req, waited)
	}
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			err = join(err, r.vanished(ctx, req.Environment))
		}
		return nil, join(err, release(ctx, lease))
	}
	collected := func(func(string)) {}
	if req.collect {
		collected = r.collect(ctx, req.holder())
	}
	record, err = x.underLease(ctx, lease, events)
	collected(func(text string) { events.Send("", "", warning(text)) })
	events.Send("", "", RunEnded{record})
	return record, err
}

// underLease does the work of the run, stores its record and releases the
// lease. The context of the work is cancelled when the lease is lost.
func (r *run) underLease(ctx context.Context, lease Lease, events *Stream) (*RunRecord, error) {
	work, cancel := context.WithCancelCause(underFence(ctx, lease))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lease.Lost():
			cancel(ErrLeaseLost)
		case by := <-lease.Cancelled():
			cancel(&CancelledError{by})
		case <-work.Done():
		}
	}()
	r.track = newTracker(events, r.scope, r.newRecord(), r.hider(r.req.Plan))
	err := redactError(r.carryOut(work), r.track.hide)
	cancel(nil)
	<-watched

	late, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer stop()
	record := r.track.finish(err)
	if saveErr := r.Store.AddRun(late, r.req.Environment, record); saveErr != nil {
		err = join(err, saveErr)
	} else if err == nil && r.req.Action == Delete && len(r.req.Services) == 0 {
		if err = redactError(r.remove(ctx, lease), r.track.hide); err != nil {
			// The record explains why the environment is incomplete.
			record.Error = err.Error()
			_ = r.Store.AddRun(late, r.req.Environment, record)
		}
	}
	if errors.Is(err, ErrLeaseLost) {
		// The current holder of the lease records what is deployed.
	} else if noteErr := r.saveImages(late, record); noteErr != nil {
		r.track.warn(fmt.Sprintf("the deployed images of environment %s could not be recorded, so jobs that run on stop or delete may have to be built again: %v", r.req.Environment.Name, noteErr))
	}
	if releaseErr := release(ctx, lease); releaseErr != nil {
		// It expires by itself: the result of the run does not change.
		r.track.warn(fmt.Sprintf("the lease of environment %s could not be released: %v", r.req.Environment.Name, releaseErr))
	}
	if err = redactError(err, r.track.hide); err != nil {
		record.Error = err.Error()
	}
	return &record, err
}

// carryOut does the work, and returns when every service has ended.
func (r *run) carryOut(ctx context.Context) error {
	r.track.start(r.namespace)
	var err error
	if r.Turn != nil {
		r.Turn.lookingUp(r)
	}
	if r.Turn != nil && r.env.Revision != "" {
		// The environment can be stopped and deleted already: what this run adds to it
		// must be known before anything is written, and is noted beside the checks.
		r.beginning = &sched.Task{Name: "note that the run has begun", Class: -1, Do: r.begin}
		err = r.noteNamespaces(ctx)
	} else {
		err = r.begin(ctx)
	}
	if err == nil {
		err = r.look(ctx, r.preparation())
	}
	if err == nil && r.req.Action == Deploy {
		r.track.inputs(r.inputs(r.track.record.PlanDigest))
	}
	r.settleTeardowns()
	if err == nil && r.req.Action == Deploy {
		warnings := r.warnings()
		for _, s := range r.scope.services {
			for _, d := range warnings[s.Name] {
				r.track.events.Send("", "", Warned{d})
			}
		}
	}
	if err == nil && r.Turn != nil && !r.Turn.takeOver(r) {
		err = ErrStale
	}
	switch {
	case err != nil:
	case !r.foreseen():
		err = r.work(ctx)
	case r.beginning != nil: // nothing is to be done, but the run has a record
		err = r.begin(ctx)
	}
	if r.Turn != nil && r.Turn.end(r) && err == nil && r.track.unfinished() {
		err = ErrStale
	}
	if ctx.Err() != nil && (err != nil || r.track.unfinished()) {
		err = context.Cause(ctx)
	}
	r.track.rest(err)
	return r.track.outcome(err)
}

// warnings returns, by service, the warnings of look.
func (r *run) warnings() map[string][]plan.Diagnostic {
	out := r.absent()
	for _, found := range []map[string][]plan.Diagnostic{r.tagged(), r.unmade(), r.scanWarnings()} {
		for name, more := range found {
			out[name] = append(out[name], more...)
		}
	}
	return out
}

// absent returns, by service, warnings about skipped services that it uses and that
// are not deployed.
func (r *run) absent() map[string][]plan.Diagnostic {
	acted := make(map[string]bool)
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			acted[s.Name] = true
		}
	}
	out := make(map[string][]plan.Diagnostic)
	for s, d := range r.scope.plan.Absent(func(name string) bool {
		_, deployed := r.deployed[name]
		return deployed || acted[name]
	}) {
		if acted[s.Name] {
			out[s.Name] = append(out[s.Name], d)
		}
	}
	return out
}

// work does the work that look has determined.
func (r *run) work(ctx context.Context) error {
	if r.req.RollbackTo != "" {
		if err := r.savePlan(ctx); err != nil {
			return err
		}
	}
	if r.scope.plan.Pipeline.BuildAhead {
		r.ahead = &ahead{}
	}
	tasks := r.graph(r.makeImage, r.awaitSecrets, r.act)
	results, err := sched.Run(ctx, tasks, sched.Options{
		Limits:    limits(r.scope.plan.Pipeline),
		KeepGoing: r.req.KeepGoing,
	})
	r.track.madeAhead(r.ahead.total())
	if i := slices.Index(tasks, r.beginning); err == nil && i >= 0 {
		err = results[i].Err
	}
	if err == nil && r.track.succeeded() {
		err = r.prune(ctx)
	}
	return err
}

// begin records that the run has started and, for a deploy, its plan: if the process
// dies, the environment can still be stopped and deleted (A6). A rollback may turn out
// to be impossible, so it does not replace the recorded plan.
func (r *run) begin(ctx context.Context) error {
	if r.req.Action == Deploy {
		save := r.savePlan
		if r.req.RollbackTo != "" {
			save = r.noteNamespaces
		}
		if err := save(ctx); err != nil {
			return err
		}
	}
	return r.Store.AddRun(ctx, r.req.Environment, r.track.snapshot())
}

// preparation returns the tasks that run concurrently with the lookups: they prepare the
// namespace for the first release.
func (r *run) preparation() []*sched.Task {
	if r.req.Action != Deploy {
		return nil
	}
	return []*sched.Task{{
		Name:  "prepare namespace " + r.namespace,
		Class: -1,
		Do: func(ctx context.Context) error {
			if err := r.Deployer.Prepare(ctx, r.req.Environment, r.scope.toPrepare()); err != nil {
				return fmt.Errorf("prepare namespace %s: %w", r.namespace, err)
			}
			return nil
		},
	}}
}

// foreseen reports whether the run would fail for reasons that are known before
// anything is changed, and ends the services that would fail: those of the first
// such stage fail, and those of later stages are cancelled, because they would not have
// been reached, with the reason why they would fail. With KeepGoing the run does what it
// can anyway.
func (r *run) foreseen() bool {
	if r.req.KeepGoing {
		return false
	}
	found := false
	for _, st := range r.scope.stages {
		earlier := found
		for _, s := range st.services {
			switch {
			case s.err == nil || s.idle:
			case earlier:
				r.track.end(s, Cancelled, "it would fail: "+s.err.Error(), nil)
			default:
				found = true
				r.track.end(s, Failed, "", s.err)
			}
		}
	}
	return found
}
