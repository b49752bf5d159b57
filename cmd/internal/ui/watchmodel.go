package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A watched is the state of watch mode according to the events so far. Its size depends
// only on the number of services: it keeps the last lines of the output of each.
type watched struct {
	namespace string
	plan      *plan.Plan           // of the newest deploy that has ended; nil: none has
	at        runtime.WatchChanged // the state of watch mode; without a state: it has not begun
	doing     string               // what the command does before watch mode begins, or what it waits for
	since     time.Time            // of at and doing
	changed   runtime.FilesChanged // the newest change
	when      time.Time            // time of changed; zero: nothing has changed yet
	services  []*watchedService    // in the order of the plan
	names     map[string]*watchedService
	deploys   int // number of the newest deploy that has begun
	notes     ring[note]
	log       backlog[logLine] // the last output of all services
}

// A watchedService is a service in watch mode: its state after all runs.
type watchedService struct {
	service
	stale   bool                    // the current work is outdated, and a newer run repeats it
	removed *runtime.ServiceRemoved // nil: it is in the plan
	color   int
	record  runtime.ServiceRecord // its last failure
	failure []string              // record as Failures formats it; empty: it has not failed
	where   plan.Pos              // of its declaration, once it has failed
	cause   string                // the first line of the cause
	synced  string                // the last copy into its containers
	ports   []runtime.Forwarding
	log     backlog[string] // its last output
}

// A note is a message that is not about a service.
type note struct {
	at   time.Time
	text string // one or more lines, harmless for a terminal
}

// A logLine is a line of output of a service.
type logLine struct {
	service *watchedService
	text    string
}

// Limits of the output of services: lines, each of which is truncated to maxLine bytes,
// and bytes.
const (
	keptOfEach, bytesOfEach = 1000, 128 << 10
	keptOfAll, bytesOfAll   = 2000, 512 << 10
)

func newWatched() *watched {
	return &watched{names: map[string]*watchedService{}, log: backlog[logLine]{lines: keptOfAll, bytes: bytesOfAll}}
}

// apply updates the model with one event.
func (m *watched) apply(e runtime.Event) {
	switch b := e.Body.(type) {
	case runtime.RunStarted:
		m.started(e.Run, b)
	case runtime.RunEnded:
		m.ended(e, b.Record)
	case runtime.WatchChanged:
		m.at, m.doing, m.since = b, "", e.Time
	case runtime.FilesChanged:
		m.changed, m.when = b, e.Time
	case runtime.ServiceRemoved:
		s := m.service(e.Service)
		s.removed, s.ports = &b, nil
	case runtime.Printed:
		m.note(e.Time, b.Pos.String()+": "+b.Text)
	case runtime.Warned:
		m.note(e.Time, warning(b.Diagnostic))
	case runtime.TagMoved:
		m.note(e.Time, tagText(b))
	case runtime.Scanned: // runs of watch mode scan nothing
	case runtime.Adopts:
		m.note(e.Time, e.Service+": "+runtime.Adoption(b).String())
	case runtime.WaitingFor:
		if e.Service == "" {
			m.doing = b.What
			return
		}
		m.service(e.Service).service.apply(e)
	case runtime.Retried:
		if e.Service == "" {
			m.note(e.Time, retryText(b))
			return
		}
		m.service(e.Service).service.apply(e)
	case runtime.Log:
		if e.Service == "" {
			m.note(e.Time, b.Text)
			return
		}
		m.prints(m.service(e.Service), clean(b.Text))
	case runtime.PodLog:
		if s := m.names[e.Service]; s != nil { // otherwise it was deleted meanwhile
			m.prints(s, podName(e.Service, b)+" | "+clean(b.Text))
		}
	case runtime.Forwarding:
		m.service(e.Service).reach(b)
	case runtime.Synced:
		m.service(e.Service).synced = syncedText(b)
	case runtime.StateChanged:
		m.state(e, b)
	default:
		if e.Service != "" {
			m.service(e.Service).service.apply(e)
		}
	}
}

// service returns the service of that name, and appends it if it is new.
func (m *watched) service(name string) *watchedService {
	s := m.names[name]
	if s == nil {
		s = &watchedService{service: service{name: name, state: runtime.Waiting}, color: len(m.names)}
		s.log.lines, s.log.bytes = keptOfEach, bytesOfEach
		m.names[name] = s
		m.services = append(m.services, s)
	}
	return s
}

// started records that a run begins: the services of a deploy are put in its order.
func (m *watched) started(number int, b runtime.RunStarted) {
	m.namespace, m.doing = b.Namespace, ""
	if b.Action != runtime.Deploy {
		return
	}
	m.deploys = max(m.deploys, number)
	var all []*watchedService
	for _, stage := range b.Stages {
		for _, name := range stage.Services {
			s := m.service(name)
			s.removed = nil
			all = append(all, s)
		}
	}
	if len(all) == len(m.services) {
		m.services = all
		return
	}
	in := make(map[*watchedService]bool, len(all))
	for _, s := range all {
		in[s] = true
	}
	for _, s := range m.services {
		if !in[s] {
			all = append(all, s)
		}
	}
	m.services = all
}

// ended records the end of a run, whose record says why services failed.
func (m *watched) ended(e runtime.Event, record *runtime.RunRecord) {
	if record == nil {
		return
	}
	if record.Plan != nil {
		m.plan = record.Plan
	}
	for _, r := range record.Services {
		if s := m.names[r.Service]; s != nil && r.State == runtime.Failed && e.Run >= s.number {
			s.fails(m.plan, m.namespace, r)
		}
	}
	for _, place := range record.Moved {
		m.note(e.Time, place.Name+": "+movedText(place))
	}
	for _, name := range record.Pruned {
		m.note(e.Time, name+": "+prunedText)
		if s := m.names[name]; s != nil {
			delete(m.names, name)
			m.services = slices.DeleteFunc(m.services, func(v *watchedService) bool { return v == s })
		}
	}
}

// state records that a service has changed its state.
func (m *watched) state(e runtime.Event, b runtime.StateChanged) {
	s := m.service(e.Service)
	switch {
	case e.Run < s.number, b.State == runtime.Cancelled && e.Run < m.deploys && e.Run != s.number:
		return // a newer run takes precedence, and the older one had not begun with the service
	case b.State == runtime.Unchanged && s.state == runtime.Done:
		s.number = e.Run // it is as the previous run has left it
		return
	}
	s.stale = b.State == runtime.Cancelled && e.Run < m.deploys
	s.service.apply(e)
	if b.State != runtime.Failed {
		s.failure, s.cause, s.where = nil, "", plan.Pos{}
	}
	if b.State == runtime.Deploying {
		s.synced = "" // the image contains it now
	}
}

// prints records a line of output of a service.
func (m *watched) prints(s *watchedService, text string) {
	text = clip(text)
	s.log.add(text, len(text))
	m.log.add(logLine{s, text}, len(text))
}

// podName returns a short name of the container of a pod, among those of its service.
func podName(service string, b runtime.PodLog) string {
	name := b.Pod[strings.LastIndexByte(b.Pod, '-')+1:]
	if b.Container != service {
		name += "/" + b.Container
	}
	return clean(name)
}

// note adds a message.
func (m *watched) note(at time.Time, text string) {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, clip(clean(line)))
	}
	m.notes.add(note{at, strings.Join(lines, "\n")})
}

// busy reports whether something is in progress, so that times and spinners move.
func (m *watched) busy() bool {
	return m.doing != "" || m.at.State == runtime.Evaluating || m.at.State == runtime.Running ||
		slices.ContainsFunc(m.services, func(s *watchedService) bool { return s.active() })
}

// addresses returns the addresses of ports of services on this machine.
func (m *watched) addresses() []address {
	var all []address
	for _, s := range m.services {
		for _, f := range s.ports {
			if f.URL != "" {
				all = append(all, address{s.name, f.Port, f.URL})
			}
		}
	}
	return all
}

// An address is where a port of a service is reached on this machine.
type address struct {
	service string
	port    int
	url     string
}

// active reports whether s is being worked on.
func (s *watchedService) active() bool { return !s.stale && s.service.active() }

// fails records why s failed.
func (s *watchedService) fails(p *plan.Plan, namespace string, r runtime.ServiceRecord) {
	s.record = r
	s.failure = failureLines(p, namespace, []runtime.ServiceRecord{r})
	if p != nil {
		if declared := p.Service(r.Service); declared != nil {
			s.where = declared.Pos
		}
	}
	first, _, _ := strings.Cut(r.Error, "\n")
	s.cause = clip(clean(first))
}

// failureLines returns the lines that Failures writes.
func failureLines(p *plan.Plan, namespace string, failed []runtime.ServiceRecord) []string {
	var b strings.Builder
	if err := Failures(&b, p, namespace, failed, false); err != nil || len(failed) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

// reach records the address of a port of s.
func (s *watchedService) reach(f runtime.Forwarding) {
	for i := range s.ports {
		if s.ports[i].Port == f.Port {
			s.ports[i] = f
			return
		}
	}
	s.ports = append(s.ports, f)
}

// syncedText says what was copied into a container, or why that failed.
func syncedText(b runtime.Synced) string {
	if b.Error != "" {
		return fmt.Sprintf("not copied into %s/%s: %s", b.Pod, b.Container, clean(b.Error))
	}
	text := count(b.Files, "file") + " copied"
	if b.Removed > 0 {
		text += fmt.Sprintf(", %d deleted", b.Removed)
	}
	text = fmt.Sprintf("%s in %s/%s, %s", text, b.Pod, b.Container, seconds(b.Took))
	if b.Restarted {
		text += ", restarted with that"
	}
	return text
}
