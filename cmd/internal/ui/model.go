package ui

import (
	"fmt"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

// A model is the state of a run according to the events so far. It keeps no log, so its
// size depends only on the number of services.
type model struct {
	namespace string
	action    runtime.Action
	start     time.Time // of the first event
	stages    []*stage  // in running order
	services  map[string]*service
	ended     bool
	watching  runtime.WatchState // the state of watch mode; empty: a single run
	doing     string             // what the command does while no run is in progress
	since     time.Time
}

// A stage has its services in the order of the plan.
type stage struct {
	name     string
	services []*service
	started  time.Time // zero: not yet started
	ended    time.Time
	failed   bool
}

// A service is the state of a service.
type service struct {
	name   string
	number int // watch mode: the run that the other fields are about
	state  runtime.State
	reason string
	began  time.Time    // when work on it began in that run; zero: not yet
	since  time.Time    // when it entered its state
	step   step         // the current step
	tail   ring[string] // the last lines that it printed
}

// A step is what a service does or waits for within its state.
type step struct {
	text  string
	since time.Time
}

func newModel() *model { return &model{services: map[string]*service{}} }

// apply updates the model with one event.
func (m *model) apply(e runtime.Event) {
	if m.start.IsZero() {
		m.start = e.Time
	}
	switch b := e.Body.(type) {
	case runtime.RunStarted:
		m.namespace, m.action = b.Namespace, b.Action
		m.start, m.doing, m.ended = e.Time, "", false
		for _, o := range b.Stages {
			for _, name := range o.Services {
				m.service(o.Name, name)
			}
			m.stage(o.Name)
		}
	case runtime.StageStarted:
		m.stage(e.Stage).started = e.Time
	case runtime.StageEnded:
		s := m.stage(e.Stage)
		s.ended, s.failed = e.Time, b.Failed
	case runtime.RunEnded:
		m.ended = true
	case runtime.WatchChanged:
		m.watching, m.doing = b.State, ""
	case runtime.ServiceRemoved:
		m.remove(e.Stage, e.Service)
	case runtime.Printed, runtime.Warned, runtime.Adopts, runtime.TagMoved, runtime.Scanned, runtime.FilesChanged, runtime.PodLog:
		// about the file, not about the state of a service
	case runtime.WaitingFor:
		if e.Service == "" {
			m.doing, m.since = b.What, e.Time
			return
		}
		m.service(e.Stage, e.Service).apply(e)
	default:
		if e.Service != "" {
			m.service(e.Stage, e.Service).apply(e)
		}
	}
}

// stage returns the stage of that name, and creates it if the run did not announce it.
func (m *model) stage(name string) *stage {
	for _, s := range m.stages {
		if s.name == name {
			return s
		}
	}
	s := &stage{name: name}
	m.stages = append(m.stages, s)
	return s
}

// service returns the service of that name, and adds it to the stage if it is new.
func (m *model) service(stageName, name string) *service {
	if s := m.services[name]; s != nil {
		return s
	}
	s := &service{name: name, state: runtime.Waiting}
	m.services[name] = s
	st := m.stage(stageName)
	st.services = append(st.services, s)
	return s
}

// remove removes a service that is no longer in the plan.
func (m *model) remove(stageName, name string) {
	delete(m.services, name)
	st := m.stage(stageName)
	st.services = slices.DeleteFunc(st.services, func(s *service) bool { return s.name == name })
}

// apply updates the service with one event. Runs of watch mode overlap: events of an
// older run about the service are ignored.
func (s *service) apply(e runtime.Event) {
	if e.Run < s.number {
		return
	}
	switch b := e.Body.(type) {
	case runtime.StateChanged:
		if e.Run != s.number {
			s.began = time.Time{}
		}
		if s.began.IsZero() && b.State != runtime.Waiting && !b.State.Ended() {
			s.began = e.Time
		}
		if s.state != b.State {
			s.since, s.step = e.Time, step{}
		}
		s.number, s.state, s.reason = e.Run, b.State, b.Reason
	case runtime.BuildStep:
		switch {
		case b.Error != "":
			s.tail.add(b.Name + ": " + b.Error)
		case !b.Done:
			s.does(stepText(b), e.Time)
		}
	case runtime.Transfer:
		s.does(transferText(b), e.Time)
	case runtime.Log:
		s.tail.add(b.Text)
	case runtime.PodChanged:
		if !b.Ready {
			s.does(podText(b), e.Time)
		}
	case runtime.WaitingFor:
		s.does(b.What, e.Time)
	case runtime.Retried:
		s.does(retryText(b), e.Time)
	}
}

// does sets the step, and keeps its start time if only a number in it has changed.
func (s *service) does(text string, now time.Time) {
	if s.step.text == "" || shape(s.step.text) != shape(text) {
		s.step.since = now
	}
	s.step.text = text
}

// shape returns text without its numbers.
func shape(text string) string {
	out := make([]rune, 0, len(text))
	for _, r := range text {
		if r < '0' || r > '9' {
			out = append(out, r)
		}
	}
	return string(out)
}

// active reports whether s is being worked on.
func (s *service) active() bool {
	return !s.state.Ended() && s.state != runtime.Waiting && s.state != runtime.Built
}

// counts returns the number of services of s that have ended, and of all.
func (s *stage) counts() (over, all int) {
	for _, v := range s.services {
		if v.state.Ended() {
			over++
		}
	}
	return over, len(s.services)
}

// counts returns the number of services of the run that have ended, and of all.
func (m *model) counts() (over, all int) {
	for _, s := range m.stages {
		o, a := s.counts()
		over, all = over+o, all+a
	}
	return over, all
}

func stepText(b runtime.BuildStep) string {
	if b.Of > 0 {
		return fmt.Sprintf("%s, %s", b.Name, amount(b.Bytes, b.Of))
	}
	return b.Name
}

func transferText(b runtime.Transfer) string {
	return fmt.Sprintf("copying %s, %s", b.Image, amount(b.Bytes, b.Of))
}

func podText(b runtime.PodChanged) string {
	text := fmt.Sprintf("pod %s: %s", b.Pod, b.Phase)
	switch {
	case b.Reason != "":
		text += ", " + b.Reason
	case b.Ready:
		text += ", ready"
	}
	return text
}

func tagText(b runtime.TagMoved) string {
	return fmt.Sprintf("tag %s has moved from %s to %s since it was last copied", b.Image, b.From, b.To)
}

func retryText(b runtime.Retried) string {
	if b.Again == 0 {
		return fmt.Sprintf("%s: %s", b.What, b.Error)
	}
	text := fmt.Sprintf("%s: %s; retry %d", b.What, b.Error, b.Again)
	if b.Wait > 0 {
		text += fmt.Sprintf(" in %d s", b.Wait)
	}
	if b.To != "" {
		text += " on " + b.To
	}
	return text
}

// tailSize is the number of lines of a service's output that are kept.
const tailSize = 20

// A ring keeps the values that were added last.
type ring[T any] struct {
	size   int // capacity; 0: tailSize
	values []T
	next   int // index of the oldest, once the ring is full
}

func (r *ring[T]) add(v T) {
	size := r.size
	if size == 0 {
		size = tailSize
	}
	if len(r.values) < size {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % size
}

// last returns the last n values, oldest first.
func (r *ring[T]) last(n int) []T {
	all := append(append([]T(nil), r.values[r.next:]...), r.values[:r.next]...)
	return all[max(0, len(all)-n):]
}
