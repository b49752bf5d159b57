package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// may reports whether the change may run without asking.
func (l *loop) may(ctx context.Context) bool {
	if !l.head || !l.opts.Ask {
		return true
	}
	req := l.opts.Request
	req.Plan, req.Images = l.good.Plan, l.given()
	steps, err := l.opts.Runtime.Preview(ctx, req)
	if err != nil {
		return true // the run reports the reason
	}
	var names []string
	for _, s := range steps {
		if s.Do == runtime.Deploying {
			names = append(names, s.Service)
		}
	}
	if len(names) <= l.lately() {
		return true
	}
	l.held = &runtime.WatchChanged{
		State: runtime.Held, Services: names,
		Reason: fmt.Sprintf("HEAD has moved, and %d services would be deployed", len(names)),
	}
	return false
}

// lately counts the services that were deployed by hand in the last minute.
func (l *loop) lately() int {
	l.manual = slices.DeleteFunc(l.manual, func(d deployed) bool { return time.Since(d.at) > byHand })
	names := make(map[string]bool)
	for _, d := range l.manual {
		names[d.service] = true
	}
	return len(names)
}

// start starts a run of the plan in effect. Runs of earlier changes continue.
func (l *loop) start(ctx context.Context) {
	l.pending, l.head, l.again = false, false, nil
	req := l.request()
	number := l.number
	turn := l.session.Next() // here and not in the goroutine, because the order matters
	l.work.Go(func() {
		record, err := turn.Run(ctx, req)
		l.ended <- outcome{number: number, record: record, err: err}
	})
}

// request returns the request of the next run, and counts that run.
func (l *loop) request() runtime.Request {
	l.number++
	l.running++
	number := l.number
	req := l.opts.Request
	req.Plan, req.Images = l.good.Plan, l.given()
	req.Events = func(e runtime.Event) {
		e.Run = number
		l.events.Forward(e)
	}
	return req
}

// restart starts to restart the pods of a service.
func (l *loop) restart(ctx context.Context, service string) {
	if l.good.Plan == nil || l.good.Plan.Service(service) == nil {
		l.events.Send("", "", runtime.Warned{Diagnostic: plan.Diagnostic{
			Severity: plan.SeverityWarning, Message: fmt.Sprintf("cannot restart service %q: it is not in the plan", service),
		}})
		return
	}
	req := l.request()
	req.Action, req.Services = runtime.Restart, []string{service}
	number := l.number
	l.work.Go(func() {
		record, err := l.session.Restart(ctx, req)
		l.ended <- outcome{number: number, restart: service, record: record, err: err}
	})
}

// end handles the end of a run.
func (l *loop) end(o outcome) {
	if o.copied != "" {
		l.copyEnded(o.copied, o.err)
		return
	}
	if o.restart != "" {
		l.unready[o.restart] = o.err != nil && !errors.Is(o.err, runtime.ErrStale)
		return
	}
	if o.record != nil {
		l.deployed(o.number, o.record)
		for _, s := range o.record.Services {
			if s.State == runtime.Done {
				l.manual = append(l.manual, deployed{s.Service, s.End})
			}
			if s.State == runtime.Done || s.State == runtime.Unchanged {
				delete(l.unready, s.Service)
			}
		}
	}
	if o.number > l.last.number {
		l.last = o
	}
	if o.err != nil && l.opts.Changed != nil && !errors.Is(o.err, runtime.ErrStale) {
		l.opts.Changed(nil) // cached information may be why it failed
	}
	if errors.Is(o.err, runtime.ErrConflict) && !errors.Is(o.err, runtime.ErrStale) {
		l.again = time.After(retryAfter) // its sources changed while it read them
	}
}
