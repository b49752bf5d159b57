package watch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// An Evaluation is the result of evaluating a Pipelinefile.
type Evaluation struct {
	Plan   *plan.Plan   // nil if Err is set
	Inputs []plan.Input // what was read, even if Err is set
	// Errors are the errors in the Pipelinefile, if these are why Err is set.
	Errors []plan.Diagnostic
	Err    error
}

// A Command is a request of the user to watch mode.
type Command struct {
	Do      Order
	Service string // Restart: the service to restart
}

// An Order is the action that a [Command] requests.
type Order string

// The orders.
const (
	Again   Order = "again"   // run now, and retry what failed before; after Held: run
	Pause   Order = "pause"   // collect changes without running
	Resume  Order = "resume"  // run the collected changes
	Restart Order = "restart" // restart the pods of a service, as soon as no run is working on it
)

// Options configure watch mode.
type Options struct {
	// Root is the workspace, to which paths of inputs are relative.
	Root string
	// Runtime carries out the runs. It stays open between them.
	Runtime *runtime.Runtime
	// Evaluate evaluates the Pipelinefile. It is called again whenever an input
	// of the last evaluation has changed; its context is cancelled when it is out of date.
	Evaluate func(ctx context.Context) Evaluation
	// Changed is called with the paths that have changed in the workspace, before they
	// are processed, so that Evaluate and Runtime can cache information about files; nil
	// means that any path may have changed. Nil: they cache nothing.
	Changed func(paths []string)
	// Request is the request of each run, except for its plan. Timeout and
	// Events apply to each run; Action is always Deploy.
	Request runtime.Request
	// Events is called with the events of all runs and of watch mode, numbered as one
	// sequence, in order and from one goroutine. Nil: events are dropped.
	Events func(runtime.Event)
	// Commands are executed as they arrive. Nil: there are none.
	Commands <-chan Command
	// Ask makes a change that was not made by hand, such as a branch switch,
	// wait for a Command if it would deploy more services than were changed by hand in
	// the last minute. Default: it runs.
	Ask bool
	// Sync opens the Syncer that copies changed files into running containers of services
	// with sync rules (SPEC W6); it calls report for each container. Sync is called
	// when the first such service is deployed. Nil: changes are built.
	Sync func(report func(service string, s runtime.Synced)) (runtime.Syncer, error)
	// Files configures how files are watched.
	Files FileOptions
}

// Run deploys the current files, and deploys again whenever they change, until ctx
// is done (SPEC §9). Runs in progress then end as cancelled runs do (A4), and
// deployed services keep running. The error is the cause of ctx, or the reason why the
// files cannot be watched.
func Run(ctx context.Context, opts Options) error {
	files, err := OpenFiles(opts.Root, opts.Files)
	if err != nil {
		return err
	}
	return errors.Join(run(ctx, opts, files), files.Close())
}

// changes is the part of Files that the loop uses.
type changes interface {
	SetSince(inputs []plan.Input, builds []plan.BuildSpec, since time.Time) error
	Changes() <-chan Change
}

// byHand is how long services that were changed by hand are counted: a change
// of HEAD that deploys more services asks first.
const byHand = time.Minute

// retryAfter is the delay before retrying a run whose sources changed while it read them.
const retryAfter = 200 * time.Millisecond

// A loop runs watch mode. The goroutine of run owns all fields.
type loop struct {
	opts    Options
	files   changes
	session *runtime.Session
	events  *runtime.Stream

	began   time.Time    // before anything was read
	setting chan error   // receives the result of the first SetSince; nil: it has ended
	set     bool         // the first SetSince has started
	next    func() error // sets other inputs after it; nil: they are the same

	good   Evaluation            // the last one without errors, which is in effect
	digest plan.Digest           // of its plan
	wrong  *runtime.WatchChanged // the errors of the newest evaluation; nil: none
	state  runtime.WatchState    // the last reported state

	work       sync.WaitGroup     // evaluations and runs
	evaluating context.CancelFunc // cancels the evaluation in progress; nil: there is none
	evaluated  chan Evaluation
	touched    []string // changed files of build contexts that have not been processed yet
	sync       *syncing
	pending    bool // something has changed that no run has been started for
	head       bool // HEAD has moved since the last run
	paused     bool
	held       *runtime.WatchChanged // the question to the user; nil: none

	number  int // of the newest run
	running int // runs in progress
	ended   chan outcome
	again   <-chan time.Time
	last    outcome
	unready map[string]bool // services whose restart failed, until they are deployed again
	manual  []deployed      // services deployed recently because of file changes only
}

// An outcome is the result of a run.
type outcome struct {
	number  int
	restart string // the service, if it was a restart of one
	copied  string // the service, if files were copied into its containers
	record  *runtime.RunRecord
	err     error
}

// A deployed records when a service was deployed.
type deployed struct {
	service string
	at      time.Time
}

func run(ctx context.Context, opts Options, files changes) error {
	opts.Request.Action = runtime.Deploy
	l := &loop{
		began: time.Now(),
		opts:  opts, files: files, session: opts.Runtime.NewSession(),
		events:    runtime.NewStream(opts.Events),
		sync:      newSyncing(opts.Sync),
		evaluated: make(chan Evaluation, 1), ended: make(chan outcome), unready: make(map[string]bool),
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer l.finish(stop)
	l.evaluate(ctx)
	l.report()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case c := <-l.files.Changes():
			l.changed(ctx, c)
		case e := <-l.evaluated:
			if err := l.take(e); err != nil {
				return err
			}
		case err := <-l.setting:
			l.setting = nil
			if err == nil && l.next != nil {
				err = l.next()
			}
			if err != nil {
				return err
			}
		case o := <-l.ended:
			l.running--
			l.end(o)
		case <-l.sync.wake:
			l.copied()
		case <-l.again:
			l.again, l.pending = nil, true
		case cmd, open := <-l.opts.Commands:
			if !open {
				l.opts.Commands = nil
				break
			}
			l.obey(ctx, cmd)
		}
		if l.evaluating == nil && l.good.Plan != nil && !l.paused && l.held == nil {
			l.sort(ctx)
			if l.pending && l.may(ctx) {
				l.start(ctx)
			}
		}
		l.report()
	}
}

// finish ends the work in progress, and returns when it has ended.
func (l *loop) finish(stop context.CancelCauseFunc) {
	stop(nil)
	for l.running > 0 {
		<-l.ended
		l.running--
	}
	l.work.Wait()
	l.sync.close()
	l.events.Close()
}

// changed handles a change: it evaluates the Pipelinefile again if that, or a file that
// it read, has changed.
func (l *loop) changed(ctx context.Context, c Change) {
	const shown = 20
	l.head = l.head || c.Head
	if len(c.Paths) == 0 {
		return
	}
	if l.opts.Changed != nil {
		l.opts.Changed(c.Paths)
	}
	event := runtime.FilesChanged{Paths: c.Paths, Head: c.Head}
	if n := len(c.Paths); n > shown {
		event.Paths, event.More = c.Paths[:shown], n-shown
	}
	l.events.Send("", "", event)
	evaluate, touched := l.good.Plan == nil, false
	for _, in := range c.Inputs {
		switch in.Kind {
		case plan.InputContext:
			touched = true
		case plan.InputChart, plan.InputValues, plan.InputManifest, plan.InputDockerfile:
			// The plan contains their digests; a run also reads them itself, even a run of
			// the last good plan.
			l.pending, evaluate = true, true
		default:
			evaluate = true
		}
	}
	if touched {
		l.touched = slices.Compact(slices.Sorted(slices.Values(slices.Concat(l.touched, c.Paths))))
	}
	if evaluate || l.evaluating != nil {
		l.evaluate(ctx)
	}
}

// evaluate starts an evaluation, and cancels one that is out of date.
func (l *loop) evaluate(ctx context.Context) {
	if l.evaluating != nil {
		l.evaluating()
	}
	ctx, l.evaluating = context.WithCancel(ctx)
	to := make(chan Evaluation, 1)
	l.evaluated = to
	l.work.Go(func() { to <- l.opts.Evaluate(ctx) })
}

// take handles the result of an evaluation. Its inputs are watched even if it failed,
// together with those of the plan in effect (W1).
func (l *loop) take(e Evaluation) error {
	l.evaluating()
	l.evaluating = nil
	inputs := e.Inputs
	l.wrong = nil
	if e.Err != nil {
		inputs = both(inputs, l.good.Inputs)
		l.wrong = &runtime.WatchChanged{State: runtime.Wrong, Reason: e.Err.Error(), Errors: e.Errors}
		l.state = ""
	} else if err := l.accept(e); err != nil {
		return err
	}
	var builds []plan.BuildSpec
	if l.good.Plan != nil {
		builds = l.good.Plan.Builds
	}
	return l.watch(inputs, builds)
}

// watch sets the inputs to watch. Reading all of a large workspace takes seconds, so that
// runs concurrently with the first run; changes in the meantime are reported afterwards.
func (l *loop) watch(inputs []plan.Input, builds []plan.BuildSpec) error {
	switch {
	case !l.set:
		l.set = true
		done := make(chan error, 1)
		l.setting = done
		l.work.Go(func() { done <- l.files.SetSince(inputs, builds, l.began) })
		return nil
	case l.setting != nil:
		l.next = func() error { return l.files.SetSince(inputs, builds, l.began) }
		return nil
	}
	return l.files.SetSince(inputs, builds, time.Time{})
}

// accept puts the plan of an evaluation into effect.
func (l *loop) accept(e Evaluation) error {
	digest, err := e.Plan.Digest()
	if err != nil {
		return err
	}
	if digest != l.digest {
		l.removed(e.Plan)
		if l.good.Plan != nil {
			l.replanned(l.good.Plan, e.Plan)
		}
		for _, w := range e.Plan.Warnings {
			l.events.Send("", "", runtime.Warned{Diagnostic: w})
		}
		l.pending = true
	}
	l.good, l.digest = e, digest
	return nil
}

// removed reports the services that are no longer in the plan (D5).
func (l *loop) removed(p *plan.Plan) {
	if l.good.Plan == nil {
		return
	}
	for _, s := range l.good.Plan.Services {
		if p.Service(s.Name) == nil {
			l.events.Send(s.Stage, s.Name, runtime.ServiceRemoved{Prune: l.opts.Request.Prune})
		}
	}
}

// both merges inputs, without duplicates, in order.
func both(a, b []plan.Input) []plan.Input {
	all := slices.Clone(a)
	for _, in := range b {
		if !slices.ContainsFunc(a, func(x plan.Input) bool { return x.Path == in.Path && x.Kind == in.Kind }) {
			all = append(all, in)
		}
	}
	return all
}

func (l *loop) obey(ctx context.Context, cmd Command) {
	switch cmd.Do {
	case Again:
		l.session.Forget()
		if l.opts.Changed != nil {
			l.opts.Changed(nil)
		}
		l.paused, l.held, l.head, l.pending = false, nil, false, true
		for service := range l.sync.images { // including services whose files were only copied
			l.build(service)
		}
		if l.wrong != nil {
			l.evaluate(ctx)
		}
	case Pause:
		l.paused, l.held = true, nil
	case Resume:
		l.paused, l.held, l.head = false, nil, false
	case Restart:
		l.restart(ctx, cmd.Service)
	}
}

// report reports the state of watch mode, if that has changed.
func (l *loop) report() {
	now := runtime.WatchChanged{}
	switch {
	case l.evaluating != nil:
		now.State = runtime.Evaluating
	case l.held != nil:
		now = *l.held
	case l.running > 0 || !l.paused && l.sync.behind():
		now.State = runtime.Running
	case l.paused:
		now.State = runtime.Paused
	case l.wrong != nil:
		now = *l.wrong
	case l.pending || l.again != nil || len(l.touched) > 0 || l.setting != nil:
		return
	default:
		now.State = runtime.Settled
		switch {
		case l.last.err != nil:
			now.Reason = l.last.err.Error()
		case len(l.sync.failed) > 0:
			now.Reason = "not all files could be copied into containers of " + strings.Join(slices.Sorted(maps.Keys(l.sync.failed)), ", ")
		}
		if r := l.last.record; r != nil {
			now.Inputs = r.Inputs
			for _, s := range r.Services {
				if s.LeftAlone != nil {
					now.LeftAlone = append(now.LeftAlone, *s.LeftAlone)
				}
				if s.State == runtime.Failed || l.unready[s.Service] || l.sync.failed[s.Service] {
					now.Services = append(now.Services, s.Service)
				}
			}
		}
	}
	if now.State != l.state {
		l.state = now.State
		l.events.Send("", "", now)
	}
}
