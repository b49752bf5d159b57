package main

import (
	"fmt"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// watchForwards are the local ports of watch mode: one for each TCP port of the
// services of the current plan. A run does not affect the ports that stay.
type watchForwards struct {
	app       *app
	forwarder *reach.Forwarder

	mu   sync.Mutex
	plan *plan.Plan // guarded by mu
}

// openForwards opens the forwards of a namespace; nothing listens before set.
// Close them before the namespace.
func (a *app) openForwards(namespace *reach.Namespace) *watchForwards {
	f := &watchForwards{app: a}
	f.forwarder = namespace.Forwarder(reach.ForwardOptions{Report: f.report})
	return f
}

// set forwards to the deployed services of p. A port that cannot be opened is
// reported; the others are opened.
func (f *watchForwards) set(p *plan.Plan) {
	f.mu.Lock()
	f.plan = p
	f.mu.Unlock()
	targets := reach.Targets(p, func(s *plan.Service) bool { return !s.Skip && s.Type != plan.Job })
	forwards, err := f.forwarder.Set(targets)
	if err != nil {
		f.app.note("forward: " + err.Error())
	}
	for _, fw := range forwards {
		if fw.Taken != nil {
			f.app.note(fmt.Sprintf("%s: %v: port %d is used instead", forwardName(fw), fw.Taken, fw.Address.Port()))
		}
	}
}

// report reports the new state of a forward.
func (f *watchForwards) report(fw reach.Forward) {
	f.mu.Lock()
	p := f.plan
	f.mu.Unlock()
	f.app.current().Event(runtime.Event{Time: f.app.now(), Service: fw.Service, Body: fw.Event(p)})
}

// close closes all ports.
func (f *watchForwards) close() {
	f.forwarder.Close()
}
