package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// How long a service, or the command, may be silent. Including the second between two
// checks, no gap between lines reaches 20 seconds.
const (
	silence = 15 * time.Second
	look    = time.Second
	moment  = 2 * time.Second // work that takes longer is shown
)

// plain writes a line for each change, prefixed by the elapsed time and the service. A
// service that is active without a change gets a line now and then that says what it
// waits for.
type plain struct {
	now  func() time.Time
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex // guards the following fields
	out   io.Writer
	model *model
	width int                        // of the column of services
	said  map[string]time.Time       // when a service was last mentioned; "" is the command
	last  map[string]string          // the last line about a service's pods and waits, which are often repeated
	steps map[string]map[string]bool // steps of builds that were shown, by service
	begun time.Time                  // when the command began to show output
	told  bool                       // model.doing has been shown
	// In watch mode, the errors that were already shown, by service.
	failed map[string]string
	color  bool
}

func newPlain(opts Options) *plain {
	v := &plain{
		now: opts.Now, out: NewSafe(opts.Out), model: newModel(), begun: opts.Now(),
		stop: make(chan struct{}), done: make(chan struct{}),
		said: map[string]time.Time{}, last: map[string]string{}, steps: map[string]map[string]bool{}, failed: map[string]string{}, color: opts.Color,
	}
	if !opts.Since.IsZero() {
		v.begun = opts.Since
	}
	go v.heartbeat()
	return v
}

// Close stops the heartbeat.
func (v *plain) Close() {
	close(v.stop)
	<-v.done
}

func (v *plain) Note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line(v.now(), "", text)
}

func (v *plain) Doing(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.model.doing, v.model.since, v.told = what, v.now(), false
}

func (v *plain) Event(e runtime.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var before service
	if s := v.model.services[e.Service]; s != nil {
		before = *s
	}
	if v.model.watching != "" && outside(e, before) {
		return
	}
	v.model.apply(e)
	switch b := e.Body.(type) {
	case runtime.RunStarted:
		for name := range v.model.services {
			v.width = min(max(v.width, len(name)), 24)
		}
		if v.model.watching != "" {
			return // its activity is shown service by service
		}
		_, all := v.model.counts()
		v.line(e.Time, "", fmt.Sprintf("%s %s: %s in %s", b.Action, b.Namespace,
			count(all, "service"), count(len(b.Stages), "stage")))
	case runtime.FilesChanged, runtime.WatchChanged, runtime.ServiceRemoved, runtime.Forwarding, runtime.Synced, runtime.PodLog:
		v.watch(e)
	case runtime.StageStarted:
		if v.model.watching != "" {
			return
		}
		_, all := v.model.stage(e.Stage).counts()
		v.line(e.Time, "", fmt.Sprintf("stage %s: %s", e.Stage, count(all, "service")))
	case runtime.StageEnded:
		if v.model.watching != "" {
			return
		}
		v.line(e.Time, "", v.stageEnd(v.model.stage(e.Stage)))
	case runtime.RunEnded:
		if v.model.watching != "" {
			v.watch(e)
		} // otherwise the command shows the result
	case runtime.Printed:
		v.line(e.Time, "", fmt.Sprintf("%s: %s", b.Pos, b.Text))
	case runtime.Warned:
		v.line(e.Time, "", warning(b.Diagnostic))
	case runtime.TagMoved:
		v.line(e.Time, "", tagText(b))
	case runtime.Scanned:
		v.line(e.Time, "", scannedText(b))
	case runtime.Adopts:
		v.line(e.Time, "", adoptText(e.Service, runtime.Adoption(b)))
	default:
		if e.Service == "" {
			v.general(e)
			return
		}
		v.about(e, before)
	}
}

// general writes the line for an event about the whole run.
func (v *plain) general(e runtime.Event) {
	switch b := e.Body.(type) {
	case runtime.WaitingFor:
		v.told = true
		v.line(e.Time, "", "waiting: "+b.What)
	case runtime.Log:
		v.line(e.Time, "", "> "+clean(b.Text))
	case runtime.Retried:
		v.line(e.Time, "", retryText(b))
	}
}

// about writes the line for an event about a service. It does not repeat a reason.
func (v *plain) about(e runtime.Event, before service) {
	switch b := e.Body.(type) {
	case runtime.StateChanged:
		if v.model.watching != "" {
			if b.State == runtime.Unchanged || b.State == runtime.Skipped || b.State == runtime.Failed && before.state == runtime.Failed {
				return // one for each service at each change would hide what has changed
			}
			if b.State == runtime.Building {
				delete(v.steps, e.Service) // they start again
			}
		}
		delete(v.last, e.Service)
		text := string(b.State)
		if s := v.model.services[e.Service]; s.state.Ended() && !s.began.IsZero() && e.Time.After(s.began) {
			text += " after " + seconds(e.Time.Sub(s.began))
		}
		if b.Reason != "" && b.Reason != before.reason {
			text += ": " + b.Reason
		}
		v.line(e.Time, e.Service, text)
	case runtime.BuildStep:
		v.step(e, b)
	case runtime.Transfer:
		if b.Of > 0 && b.Bytes >= b.Of {
			v.once(e, fmt.Sprintf("copied %s, %s", b.Image, amount(b.Bytes, 0)))
		}
	case runtime.Log:
		v.line(e.Time, e.Service, "> "+clean(b.Text))
	case runtime.PodChanged:
		v.once(e, podText(b))
	case runtime.WaitingFor:
		v.once(e, "waits for "+b.What)
	case runtime.Retried:
		v.line(e.Time, e.Service, retryText(b))
	}
}

// step writes the line for a step of a build. BuildKit starts a step again when another
// one wants its result, and has several steps with the same name, such as a FROM of each
// platform. The start and the end of a name are shown once, and errors always.
func (v *plain) step(e runtime.Event, b runtime.BuildStep) {
	text := buildLine(b)
	said := fmt.Sprint(b.Done, " ", b.Name)
	if text == "" || v.steps[e.Service][said] && b.Error == "" {
		return
	}
	if v.steps[e.Service] == nil {
		v.steps[e.Service] = map[string]bool{}
	}
	v.steps[e.Service][said] = true
	v.line(e.Time, e.Service, text)
}

// once writes a line unless it equals the last one about the service.
func (v *plain) once(e runtime.Event, text string) {
	if v.last[e.Service] != text {
		v.last[e.Service] = text
		v.line(e.Time, e.Service, text)
	}
}

// line writes one line, about a service if it has a name.
func (v *plain) line(now time.Time, service, text string) {
	v.said[service] = now
	prefix := fmt.Sprintf("%5s  ", clock(now.Sub(v.begun)))
	if service != "" {
		prefix += fmt.Sprintf("%-*s | ", v.width, service)
	}
	fmt.Fprint(v.out, prefix+strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", len(prefix)))+"\n")
}

// heartbeat writes a line for each service that has been silent for long, and says what
// it waits for.
func (v *plain) heartbeat() {
	defer close(v.done)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-tick.C:
			v.mu.Lock()
			v.beat(v.now())
			v.mu.Unlock()
		}
	}
}

func (v *plain) beat(now time.Time) {
	if v.model.doing != "" && !v.told && now.Sub(v.model.since) >= moment {
		v.told = true
		v.line(now, "", v.model.doing)
		return
	}
	working := false
	for _, st := range v.model.stages {
		for _, s := range st.services {
			if !s.active() {
				continue
			}
			working = true
			if now.Sub(v.said[s.name]) >= silence {
				v.line(now, s.name, still(s, now))
			}
		}
	}
	if working || now.Sub(v.latest()) < silence {
		return
	}
	switch {
	case v.model.doing != "":
		v.line(now, "", fmt.Sprintf("%s, for %s now", v.model.doing, seconds(now.Sub(v.model.since))))
	case len(v.model.stages) > 0 && !v.model.ended:
		v.line(now, "", "waiting for the cluster")
	}
}

// latest returns the time of the last line.
func (v *plain) latest() time.Time {
	latest := v.begun
	for _, t := range v.said {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

// still returns the current activity of a silent service.
func still(s *service, now time.Time) string {
	text := fmt.Sprintf("still %s after %s", s.state, seconds(now.Sub(s.since)))
	if s.step.text != "" {
		text += fmt.Sprintf(": %s (%s)", clean(s.step.text), seconds(now.Sub(s.step.since)))
	}
	return text
}

func (v *plain) stageEnd(s *stage) string {
	how := "done"
	if s.failed {
		how = "failed"
	}
	if !s.started.IsZero() {
		how += " in " + seconds(s.ended.Sub(s.started))
	}
	return fmt.Sprintf("stage %s %s: %s", s.name, how, outcome(s))
}

// buildLine returns the line for a change of a build step, or "" for an unimportant one.
func buildLine(b runtime.BuildStep) string {
	if strings.HasPrefix(b.Name, "[internal]") && b.Error == "" {
		return ""
	}
	name := clean(b.Name)
	switch {
	case b.Error != "":
		return name + ": " + clean(b.Error)
	case b.Cached:
		if b.Done {
			return name + ": cached"
		}
	case b.Done:
		return fmt.Sprintf("%s: %s", name, seconds(b.Took))
	case b.Started && b.Bytes == 0:
		return name
	}
	return ""
}

// warning shows a warning with its position.
func warning(d plan.Diagnostic) string {
	text := "warning: " + d.Message
	if !d.Pos.IsZero() {
		text = d.Pos.String() + ": " + text
	}
	for _, r := range d.Related {
		text += "; " + r.Message + " (" + r.Pos.String() + ")"
	}
	if len(d.Stack) > 0 && d.Stack[0].Pos != d.Pos {
		text += "; called at " + d.Stack[0].Pos.String()
	}
	if d.Hint != "" {
		text += "; " + d.Hint
	}
	return text
}
