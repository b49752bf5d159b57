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
// (W6). A service is synced from the end of a run that has deployed it until it
// needs a build; runs in the meantime deploy its current image. The goroutine of
// run owns the fields.
type syncing struct {
	open   func(report func(service string, s runtime.Synced)) (runtime.Syncer, error) // nil: everything is built
	to     runtime.Syncer                                                              // nil: it is not open yet
	images map[string]string                                                           // deployed images of the synced services
	from   map[string]int                                                              // the first run that includes all changes of a service that needs a build
	failed map[string]bool                                                             // services for which copying failed

	wake chan struct{} // has an element when something was reported

	mu       sync.Mutex
	reported []runtime.Event // about copied files; guarded by mu
}

func newSyncing(open func(func(string, runtime.Synced)) (runtime.Syncer, error)) *syncing {
	return &syncing{
		open: open, images: make(map[string]string), from: make(map[string]int), failed: make(map[string]bool), wake: make(chan struct{}, 1),
	}
}

// sort decides how changed files are processed: they are copied
// into the containers of services whose rules match all of them; other services
// need a run.
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
		if l.others(p, s, files) {
			l.pending = true
		}
		build := p.Build(s.Image.Build)
		if build == nil || build.Source.Git != "" {
			continue
		}
		n := needOf(l.opts.Root, *build, s, files)
		n.build = n.build || l.basesChange(p, build, files)
		for _, file := range n.files {
			known[file] = true
		}
		switch {
		case !n.build && len(n.update.Changes) == 0: // its image does not contain them
		case n.build || l.head || l.sync.images[s.Name] == "": // a checkout is one run, even for files that could be copied
			l.build(s.Name)
		default:
			l.copy(ctx, s.Name, n.update)
		}
	}
	if len(known) < len(files) { // some files belong to no known image
		l.pending = true
	}
}

// others reports whether an image that a service has besides its own is built from some
// of the files. No files are copied into its containers.
func (l *loop) others(p *plan.Plan, s *plan.Service, files []string) bool {
	return slices.ContainsFunc(s.Images, func(im plan.NamedImage) bool {
		return l.changes(p, p.Build(im.Build), files)
	})
}

// changes reports whether the image of a build changes with the files.
func (l *loop) changes(p *plan.Plan, build *plan.BuildSpec, files []string) bool {
	switch {
	case build == nil:
		return false
	case build.Source.Git == "" && needOf(l.opts.Root, *build, &plan.Service{}, files).build:
		return true
	}
	return l.basesChange(p, build, files)
}

// basesChange reports whether an image that is an argument of a build changes with the files.
func (l *loop) basesChange(p *plan.Plan, build *plan.BuildSpec, files []string) bool {
	for _, from := range build.ImageArgs {
		if l.changes(p, p.Build(from.Build), files) {
			return true
		}
	}
	return false
}

// build makes the next run build a service.
func (l *loop) build(service string) {
	l.pending = true
	delete(l.sync.images, service)
	delete(l.sync.failed, service)
	l.sync.from[service] = l.number + 1
}

// copy starts to apply an update.
func (l *loop) copy(ctx context.Context, service string, u runtime.SyncUpdate) {
	l.running++
	l.work.Go(func() {
		err := l.sync.to.Update(ctx, service, u)
		l.ended <- outcome{copied: service, err: err}
	})
}

// copyEnded handles the end of an update of a service.
func (l *loop) copyEnded(service string, err error) {
	if l.sync.images[service] == "" {
		return // it is built meanwhile
	}
	l.copied() // handle the reports first
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

// report stores a report about a container for the loop.
func (y *syncing) report(service string, s runtime.Synced) {
	y.mu.Lock()
	y.reported = append(y.reported, runtime.Event{Time: time.Now(), Service: service, Body: s})
	y.mu.Unlock()
	select {
	case y.wake <- struct{}{}:
	default:
	}
}

// copied handles the reports about containers.
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

// redact redacts the values of secrets in an event: a command in a container
// can print anything.
func (l *loop) redact(b runtime.Body) runtime.Body {
	if l.opts.Runtime.Hide == nil {
		return b
	}
	return runtime.Redact(b, l.opts.Runtime.Hide(l.good.Plan))
}

// behind reports whether some containers do not have all changes yet.
func (y *syncing) behind() bool {
	for service := range y.images {
		if !y.failed[service] && !y.to.Synced(service) {
			return true
		}
	}
	return false
}

// deployed records the images that a run has left deployed.
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

// keep starts to sync the containers of a service.
func (l *loop) keep(service, image string) {
	if l.sync.to == nil {
		to, err := l.sync.open(l.sync.report)
		if err != nil {
			l.sync.open = nil
			l.events.Send("", "", runtime.Warned{Diagnostic: plan.Diagnostic{
				Severity: plan.SeverityWarning, Message: fmt.Sprintf("changed files cannot be copied into running containers; images are built instead: %v", err),
			}})
			return
		}
		l.sync.to = to
	}
	l.sync.images[service] = image
	l.sync.to.Set(service, image)
}

// forget makes the first run after number build a service.
func (y *syncing) forget(service string, number int) {
	delete(y.images, service)
	delete(y.failed, service)
	y.from[service] = number + 1
}

// replanned makes the next run build the services whose image or rules a new plan changes.
func (l *loop) replanned(was, is *plan.Plan) {
	for service := range l.sync.images {
		before, after := was.Service(service), is.Service(service)
		if before == nil || after == nil || !reflect.DeepEqual(made(was, before), made(is, after)) {
			l.build(service)
		}
	}
}

// made returns what determines the containers of a service: its build and its
// rules, without their positions.
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

// given returns the images that the next run deploys regardless of the files.
func (l *loop) given() map[string]string {
	given := make(map[string]string)
	maps.Copy(given, l.opts.Request.Images)
	maps.Copy(given, l.sync.images)
	return given
}

// close stops copying.
func (y *syncing) close() {
	if y.to != nil {
		y.to.Close()
	}
}
