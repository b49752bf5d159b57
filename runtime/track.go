package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// A tracker maintains the record of a run and reports changes as events. It is the only
// owner of the services' states, so that each service ends exactly once.
type tracker struct {
	events *Stream
	scope  *scope
	hide   func(string) string // nil: nothing is redacted

	mu     sync.Mutex // also orders events with the states that they report
	record RunRecord
	at     map[string]int    // the index of a service in the record
	left   map[string]int    // services of a stage that have not ended; absent before the stage starts
	failed map[string]bool   // stages in which a service failed
	last   map[string]string // what a service was last seen waiting for
	first  string            // the first service that failed
	busy   map[string]string // what was going on when the run was cancelled, by service
}

func newTracker(events *Stream, sc *scope, record RunRecord, hide func(string) string) *tracker {
	t := &tracker{
		events: events,
		scope:  sc,
		hide:   hide,
		record: record,
		at:     make(map[string]int),
		left:   make(map[string]int),
		failed: make(map[string]bool),
		last:   make(map[string]string),
		busy:   make(map[string]string),
	}
	for i, s := range sc.services {
		t.record.Services = append(t.record.Services, ServiceRecord{Service: s.Name, Stage: s.Stage, State: Waiting})
		t.at[s.Name] = i
	}
	return t
}

// start reports what the run will do, and ends the services that it leaves out.
func (t *tracker) start(namespace string) {
	started := RunStarted{Run: t.record.ID, Action: t.record.Action, Namespace: namespace}
	for _, st := range t.scope.stages {
		outline := StageOutline{Name: st.name, Services: []string{}}
		for _, s := range st.services {
			outline.Services = append(outline.Services, s.Name)
		}
		started.Stages = append(started.Stages, outline)
	}
	t.events.Send("", "", started)
	for _, s := range t.scope.services {
		if s.skipped != "" {
			t.end(s, Skipped, s.skipped, nil)
		}
	}
}

// set sets a state of s that is not final.
func (t *tracker) set(s *service, state State, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setLocked(s, state, reason)
}

func (t *tracker) setLocked(s *service, state State, reason string) {
	r := &t.record.Services[t.at[s.Name]]
	if r.State.Ended() { // it was found to fail while its image was made
		return
	}
	t.begin(s, r)
	r.State, r.Reason = state, reason
	delete(t.last, s.Name)
	t.events.Send(s.Stage, s.Name, StateChanged{state, reason})
}

// images records the images that s is deployed with.
func (t *tracker) images(s *service, r Release) {
	if r.Image == "" && len(r.Images) == 0 && len(r.Mirrored) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	record := &t.record.Services[t.at[s.Name]]
	record.Image, record.Images, record.Mirrored = r.Image, r.Images, r.Mirrored
}

// making reports that an image of s is being made. Several may be made concurrently.
func (t *tracker) making(s *service, im *image) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.record.Services[t.at[s.Name]].State != Building {
		t.setLocked(s, Building, im.why())
	}
}

// made reports that an image of s was made.
func (t *tracker) made(s *service) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.toMake--; s.toMake == 0 {
		t.setLocked(s, Built, "")
	}
}

// inputs records the digest of the run's inputs.
func (t *tracker) inputs(digest plan.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.record.Inputs = digest
}

// madeAhead records for how long images were made before their stage began.
func (t *tracker) madeAhead(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.record.Ahead = d
}

// scanned records that an image was scanned.
func (t *tracker) scanned() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.record.Scanned++
}

// end sets the final state of s, unless s has already ended.
func (t *tracker) end(s *service, state State, reason string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.record.Services[t.at[s.Name]]
	if r.State.Ended() {
		return
	}
	atWork := r.State != Waiting && r.State != Built
	if state == Done || state == Unchanged || state == Failed || state == Skipped && s.later != "" {
		t.begin(s, r)
	}
	r.State, r.Reason = state, reason
	if state == Done || state == Unchanged {
		r.LeftAlone = s.leftAlone
	}
	if !r.Start.IsZero() {
		r.End = time.Now()
	}
	if err != nil {
		r.Err, r.Error, r.Evidence = err, err.Error(), evidence(err)
		var release *ReleaseError
		if errors.As(err, &release) {
			r.Cause = release.Cause
		}
	}
	if t.hide != nil {
		redactService(r, t.hide)
	}
	switch {
	case state == Failed:
		t.failed[s.Stage] = true
		if t.first == "" {
			t.first = s.Name
		}
	case state == Cancelled && atWork:
		t.busy[s.Name] = s.Name
		if last := t.last[s.Name]; last != "" {
			t.busy[s.Name] += " (" + last + ")"
		}
	}
	t.events.Send(s.Stage, s.Name, StateChanged{state, reason})
	if left, started := t.left[s.Stage]; started && s.skipped == "" {
		t.left[s.Stage] = left - 1
		if left == 1 {
			t.events.Send(s.Stage, "", StageEnded{t.failed[s.Stage]})
		}
	}
}

// begin reports that work on s starts, and, for the first work of its stage, that the
// stage starts. A build ahead (A2) is work of the stage that it is built for.
func (t *tracker) begin(s *service, r *ServiceRecord) {
	if _, started := t.left[s.Stage]; !started {
		for _, other := range s.stage.services {
			if !t.record.Services[t.at[other.Name]].State.Ended() {
				t.left[s.Stage]++
			}
		}
		t.events.Send(s.Stage, "", StageStarted{})
	}
	if r.Start.IsZero() {
		r.Start = time.Now()
	}
}

// emit returns the Emit function for the work on s, and a function that stops it: events
// after the work has returned are dropped.
func (t *tracker) emit(s *service) (emit Emit, stop func()) {
	stopped := false
	emit = func(b Body) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if stopped {
			return
		}
		switch b := b.(type) {
		case WaitingFor:
			t.last[s.Name] = b.What
		case BuildStep:
			if b.Started && !b.Done {
				t.last[s.Name] = b.Name
			}
		}
		t.events.Send(s.Stage, s.Name, b)
	}
	stop = func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		stopped = true
	}
	return emit, stop
}

// pruned records that a release was deleted whose service is not in the plan or, if it has
// moved, in another namespace.
func (t *tracker) pruned(release Place, moved bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if moved {
		t.record.Moved = append(t.record.Moved, release)
		slices.SortFunc(t.record.Moved, ComparePlaces)
		return
	}
	t.record.Pruned = append(t.record.Pruned, release.Name)
	slices.Sort(t.record.Pruned)
}

// warn reports something about the run that does not affect its result.
func (t *tracker) warn(message string) {
	t.events.Send("", "", warning(message))
}

func warning(message string) Warned {
	return Warned{plan.Diagnostic{Severity: plan.SeverityWarning, Message: message}}
}

// rest cancels the services that the run did not reach.
func (t *tracker) rest(cause error) {
	reason := ""
	switch {
	case cause != nil:
		reason = cause.Error()
	case t.first != "":
		reason = "service " + t.first + " failed"
	}
	for _, s := range t.scope.services {
		t.end(s, Cancelled, reason, nil)
	}
}

// unfinished reports whether the run left work undone.
func (t *tracker) unfinished() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.record.Services, func(r ServiceRecord) bool {
		return !r.State.Ended() || r.State == Cancelled
	})
}

// succeeded reports whether every service has ended successfully.
func (t *tracker) succeeded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !slices.ContainsFunc(t.record.Services, func(r ServiceRecord) bool {
		return !r.State.Ended() || r.State == Cancelled || r.State == Failed
	})
}

// finish ends the run and returns its record.
func (t *tracker) finish(err error) RunRecord {
	r := t.snapshot()
	r.End = time.Now()
	r.Stale = errors.Is(err, ErrStale)
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// snapshot returns a copy of the record.
func (t *tracker) snapshot() RunRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.record
	r.Services = slices.Clone(r.Services)
	return r
}

// outcome returns the error of a run whose services have all ended: the error of the
// run as a whole, the failed services, or nil.
func (t *tracker) outcome(cause error) error {
	var failed []ServiceRecord
	var busy []string
	for _, r := range t.record.Services {
		if r.State == Failed {
			failed = append(failed, r)
		}
		if what := t.busy[r.Service]; what != "" {
			busy = append(busy, what)
		}
	}
	if cause != nil && errors.Is(cause, ErrTimeout) && len(busy) > 0 {
		cause = fmt.Errorf("%w, while at work on %s", cause, some(busy, 5))
	}
	if len(failed) == 0 {
		return cause
	}
	return &RunError{failed, cause}
}

// join returns an error that combines both in one line; either may be nil.
func join(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}

// evidence returns the lines that explain an error, ready to show.
func evidence(err error) []string {
	var release *ReleaseError
	if errors.As(err, &release) {
		return release.Evidence
	}
	var build *BuildError
	if errors.As(err, &build) {
		return build.Log
	}
	var p *sched.PanicError
	if errors.As(err, &p) {
		return strings.Split(strings.TrimSpace(string(p.Stack)), "\n")
	}
	return nil
}

// ending returns the final state of a service whose work returned err. If the work was
// cancelled, the error is kept only if it says more than that.
func ending(ctx context.Context, err error) (state State, reason string, kept error) {
	switch {
	case err == nil:
		return Done, "", nil
	case errors.Is(err, ErrStale):
		return Cancelled, ErrStale.Error(), nil
	case ctx.Err() == nil:
		return Failed, "", err
	}
	cause := context.Cause(ctx)
	cancelled := errors.Is(err, ctx.Err()) || errors.Is(err, context.Canceled) || errors.Is(err, cause)
	var release *ReleaseError
	var build *BuildError
	switch own := errors.As(err, &release) || errors.As(err, &build); {
	case own && !cancelled:
		return Failed, "", err // it failed before it could be cancelled
	case cancelled && !own:
		return Cancelled, cause.Error(), nil
	}
	return Cancelled, cause.Error(), err
}
