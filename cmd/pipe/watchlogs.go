package main

import (
	"path/filepath"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/local"
)

// watchLogs are the logs of watch mode: the output of the services that it has
// deployed, restarted or copied files into, from then on.
type watchLogs struct {
	app  *app
	rt   *local.Runtime
	plan func() *plan.Plan // the current plan, whose names are not redacted
	file *logFile
	tail *inspect.Tail

	home  runtime.EnvironmentKey
	shown map[string]runtime.Place // the releases that are followed, by service; only event uses it

	mu     sync.Mutex // guards what follows
	hidden *plan.Plan // of hide
	hide   func(string) string
}

// openLogs returns logs that follow no service yet.
func (a *app) openLogs(rt *local.Runtime, key runtime.EnvironmentKey, charge func() *plan.Plan) *watchLogs {
	namespace := key.Namespace()
	l := &watchLogs{app: a, rt: rt, plan: charge, home: key, shown: make(map[string]runtime.Place), file: newLogFile(filepath.Join(a.home(), "logs"), namespace, a.now(), a.note)}
	l.tail = rt.Inspector.Tail(namespace, l.line, a.note)
	return l
}

// event follows the services that are deployed, and stores the output of builds
// and deploys.
func (l *watchLogs) event(e runtime.Event) {
	switch b := e.Body.(type) {
	case runtime.StateChanged:
		if b.State == runtime.Deploying || b.State == runtime.Restarting {
			l.follow(e.Service)
		}
	case runtime.Synced:
		l.follow(e.Service)
	case runtime.ServiceRemoved:
		l.forget(e.Service)
	case runtime.RunEnded:
		if b.Record == nil {
			return
		}
		for _, service := range b.Record.Pruned {
			l.forget(service)
		}
	case runtime.Log:
		if e.Service != "" {
			l.file.write(e.Time, e.Service, b.Source, b.Text)
		}
	}
}

// follow follows a service where the plan has it.
func (l *watchLogs) follow(service string) {
	s := l.plan().Service(service)
	if s == nil { // it was removed meanwhile
		return
	}
	place := runtime.Place{Namespace: l.home.NamespaceOf(s), Name: service}
	if was, ok := l.shown[service]; ok && was != place {
		l.tail.Forget(was)
	}
	l.shown[service] = place
	l.tail.Follow(place)
}

func (l *watchLogs) forget(service string) {
	if place, ok := l.shown[service]; ok {
		l.tail.Forget(place)
		delete(l.shown, service)
	}
}

// line shows and stores a line of a pod.
func (l *watchLogs) line(is inspect.LogLine) {
	body := runtime.Redact(runtime.PodLog{Pod: is.Pod, Container: is.Container, Printed: is.Time, Text: is.Text}, l.hider())
	now := l.app.now()
	l.app.current().Event(runtime.Event{Time: now, Service: is.Service, Body: body})
	if log, ok := body.(runtime.PodLog); ok {
		l.file.write(now, is.Service, is.Pod+"/"+is.Container, log.Text)
	}
}

// hider returns a function that redacts the values of secrets that are known on
// this machine. Those of the cluster are already redacted.
func (l *watchLogs) hider() func(string) string {
	if l.rt.Hide == nil {
		return func(text string) string { return text }
	}
	p := l.plan()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hide == nil || l.hidden != p {
		l.hide, l.hidden = l.rt.Hide(p), p
	}
	return l.hide
}

// close ends all logs.
func (l *watchLogs) close() {
	l.tail.Close()
	l.file.close()
}
