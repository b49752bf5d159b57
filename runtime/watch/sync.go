package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A syncing copies changed files into running containers instead of building
// (W6). A service is kept so from the end of a run that has deployed it, until it
// needs a build: all runs meanwhile deploy the image that it has. The goroutine of
// run owns the fields.
type syncing struct {
	open   func(report func(service string, s runtime.Synced)) (runtime.Syncer, error) // nil: everything is built
	to     runtime.Syncer                                                              // nil: it is not open yet
	images map[string]string                                                           // of the services that are kept so, as deployed
	from   map[string]int                                                              // the first run that has all that changed of a service that needs a build
	failed map[string]bool                                                             // services into whose containers something could not be copied

	wake chan struct{} // has an element when something was reported

	mu       sync.Mutex
	reported []runtime.Event // of what was copied into containers; guarded by mu
}

func newSyncing(open func(func(string, runtime.Synced)) (runtime.Syncer, error)) *syncing {
	return &syncing{
		open: open, images: make(map[string]string), from: make(map[string]int), failed: make(map[string]bool), wake: make(chan struct{}, 1),
	}
}

// sort decides what is done about the files that have changed: they are copied
// into the containers of the services whose rules match all of them, and the
// others need a run.
func (l *loop) sort(ctx context.Context) {
	files := l.touched
	if len(files) == 0 {
		return
	}
	l.touched = nil
	p := l.good.Plan
	if l.sync.open == nil || !slices.ContainsFunc(p.Services, func(s plan.Service) bool { return len(s.Sync) > 0 }) {
		l.pending = true
		return
	}
	known := make(map[string]bool)
	for i := range p.Services {
		s := &p.Services[i]
		build := p.Build(s.Image.Build)
		if build == nil || build.Source.Git != "" {
			continue
		}
		n := needOf(l.opts.Root, *build, s, files)
		for _, file := range n.files {
			known[file] = true
		}
		switch {
		case !n.build && len(n.update.Changes) == 0: // its image does not have them
		case n.build || l.head || l.sync.images[s.Name] == "": // a checkout is one run, also of what could be copied
			l.build(s.Name)
		default:
			l.copy(ctx, s.Name, n.update)
		}
	}
	if len(known) < len(files) { // it is not known what they are of
		l.pending = true
	}
}

// build has the next run build a service.
func (l *loop) build(service string) {
	l.pending = true
	delete(l.sync.images, service)
	delete(l.sync.failed, service)
	l.sync.from[service] = l.number + 1
}

// copy begins to carry an update out.
func (l *loop) copy(ctx context.Context, service string, u runtime.SyncUpdate) {
	l.running++
	l.work.Go(func() {
		err := l.sync.to.Update(ctx, service, u)
		l.ended <- outcome{copied: service, err: err}
	})
}

// copyEnded takes in how an update of a service ended.
func (l *loop) copyEnded(service string, err error) {
	if l.sync.images[service] == "" {
		return // it is built meanwhile
	}
	l.copied() // what was told of the containers
	switch {
	case errors.Is(err, runtime.ErrNoSync):
		if !l.sync.failed[service] {
			l.events.Send("", "", l.redact(runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: l.good.Plan.Service(service).Sync[0].Pos, Message: fmt.Sprintf("changed files are not copied: %v", err),
			}}))
		}
		l.build(service)
	case err != nil:
		l.sync.failed[service] = true
	}
}

// report keeps what is told of a container for the loop.
func (y *syncing) report(service string, s runtime.Synced) {
	y.mu.Lock()
	y.reported = append(y.reported, runtime.Event{Time: time.Now(), Service: service, Body: s})
	y.mu.Unlock()
	select {
	case y.wake <- struct{}{}:
	default:
	}
}

// copied takes in what was reported of containers.
func (l *loop) copied() {
	y := l.sync
	y.mu.Lock()
	reported := y.reported
	y.reported = nil
	y.mu.Unlock()
	for _, e := range reported {
		failed := e.Body.(runtime.Synced).Error != ""
		e.Body = l.redact(e.Body)
		l.events.Forward(e)
		switch {
		case y.images[e.Service] == "":
		case failed:
			y.failed[e.Service] = true
		case y.to.Synced(e.Service):
			delete(y.failed, e.Service)
		}
	}
}

// redact takes the values of secrets out of what is told: a command in a container
// can print anything.
func (l *loop) redact(b runtime.Body) runtime.Body {
	if l.opts.Runtime.Hide == nil {
		return b
	}
	return runtime.Redact(b, l.opts.Runtime.Hide(l.good.Plan))
}

// behind reports whether containers are going to get something that they lack.
func (y *syncing) behind() bool {
	for service := range y.images {
		if !y.failed[service] && !y.to.Synced(service) {
			return true
		}
	}
	return false
}

// deployed takes in which images a run has left deployed.
func (l *loop) deployed(number int, record *runtime.RunRecord) {
	for _, r := range record.Services {
		s := l.good.Plan.Service(r.Service)
		switch {
		case s == nil || len(s.Sync) == 0 || l.sync.open == nil || number < l.sync.from[r.Service]:
		case r.State == runtime.Failed:
			l.sync.forget(r.Service, number)
		case (r.State == runtime.Done || r.State == runtime.Unchanged) && r.Image != "":
			l.keep(r.Service, r.Image)
		}
	}
}

// keep begins to keep the containers of a service as the files are.
func (l *loop) keep(service, image string) {
	if l.sync.to == nil {
		to, err := l.sync.open(l.sync.report)
		if err != nil {
			l.sync.open = nil
			l.events.Send("", "", runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning, Message: fmt.Sprintf("changed files cannot be copied into running containers: what changes is built instead: %v", err),
			}})
			return
		}
		l.sync.to = to
	}
	l.sync.images[service] = image
	l.sync.to.Set(service, image)
}

// forget has a service built by the next run that there is after number.
func (y *syncing) forget(service string, number int) {
	delete(y.images, service)
	delete(y.failed, service)
	y.from[service] = number + 1
}

// replanned has the services built whose image or rules another plan changes.
func (l *loop) replanned(was, is *plan.Plan) {
	for service := range l.sync.images {
		before, after := was.Service(service), is.Service(service)
		if before == nil || after == nil || !reflect.DeepEqual(made(was, before), made(is, after)) {
			l.build(service)
		}
	}
}

// made returns what the containers of a service are made by: its build and its
// rules, wherever they stand in the file.
func made(p *plan.Plan, s *plan.Service) (all struct {
	image plan.ImageSource
	build plan.BuildSpec
	rules []plan.Sync
}) {
	all.image, all.rules = s.Image, slices.Clone(s.Sync)
	if b := p.Build(s.Image.Build); b != nil {
		all.build = *b
		all.build.Pos = plan.Pos{}
	}
	for i := range all.rules {
		all.rules[i].Pos = plan.Pos{}
	}
	return all
}

// given returns the images that the next run deploys whatever the files are.
func (l *loop) given() map[string]string {
	given := make(map[string]string)
	maps.Copy(given, l.opts.Request.Images)
	maps.Copy(given, l.sync.images)
	return given
}

// close ends the copying.
func (y *syncing) close() {
	if y.to != nil {
		y.to.Close()
	}
}
