// Package render renders the templates of Helm charts that others wrote.
//
// A template is a program, and Helm puts no bound on it: {{ range until 2000000000 }}
// takes all memory of the machine, and nothing stops it before it has ended. So a
// chart is rendered by a worker, a process of the same binary that can be killed.
// It has bounds of memory, of time and of output; it ends immediately when the
// context does, and with the process that started it. It has no environment, and
// what its templates look up in the cluster it asks of the process that started it.
//
// Workers are started when they are needed, stay for later charts, and know the
// charts that they have rendered already. One without work ends after a minute.
package render

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// Options are the bounds of rendering.
type Options struct {
	// Executable is a program that calls [Main] when its arguments are [Args], as
	// pipe does. Empty: charts are rendered in this process. Then the bounds on
	// memory and time do not hold, and Render returns when the templates have ended.
	Executable string
	Memory     int64         // bytes that a worker may use; default 1 GiB
	Time       time.Duration // that one chart may take; default 1 minute
	Output     int           // bytes that the templates of one chart may give together; default 16 MiB
	Objects    int           // YAML documents that they may give together; default 10 000
	Workers    int           // that render concurrently; default the number of CPUs, at most 4
}

// Args are the arguments with which Executable is started.
func Args() []string { return []string{"daemon", "render"} }

// complete returns o with the defaults of what is not set.
func (o Options) complete() Options {
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Time == 0 {
		o.Time = time.Minute
	}
	if o.Output == 0 {
		o.Output = 16 << 20
	}
	if o.Objects == 0 {
		o.Objects = 10_000
	}
	if o.Workers == 0 {
		o.Workers = min(goruntime.NumCPU(), 4)
	}
	return o
}

// A Job is one chart to render for one release.
type Job struct {
	Key     string       // what the chart is known by: charts of one key are the same
	Chart   *chart.Chart // which is not changed
	Values  map[string]any
	Release chartutil.ReleaseOptions
	// Capabilities are what the cluster can do; nil: what Helm assumes without one.
	Capabilities *chartutil.Capabilities
	// Lookup answers the template function lookup; nil: it finds nothing.
	Lookup func(apiVersion, kind, namespace, name string) (map[string]any, error)
	// Check leaves out the result: it is only looked whether the values are allowed
	// and, unless its templates ask the cluster, whether the chart can be rendered.
	Check bool
}

// A BoundError says that a chart was not rendered because it takes too much.
type BoundError struct {
	Chart    string // the name of the chart
	Template string // that was being rendered, such as "web/templates/service.yaml"; empty: not known
	Bound    string // which bound, such as "more than 1 GiB of memory"
}

func (e *BoundError) Error() string {
	what := "chart " + e.Chart
	if e.Template != "" {
		what = "template " + e.Template
	}
	return what + " takes " + e.Bound + " to be rendered: correct the chart, or its values"
}

// A Renderer renders charts. It may be used by several goroutines concurrently.
type Renderer struct {
	opts  Options
	slots chan struct{} // one for each chart that is being rendered

	mu     sync.Mutex
	idle   []*worker // guarded by mu
	closed bool      // guarded by mu
}

// New returns a renderer. It starts nothing.
func New(o Options) *Renderer {
	o = o.complete()
	return &Renderer{opts: o, slots: make(chan struct{}, o.Workers)}
}

// Close ends the workers. Those at work end when they have rendered.
func (r *Renderer) Close() error {
	r.mu.Lock()
	idle := r.idle
	r.idle, r.closed = nil, true
	r.mu.Unlock()
	for _, w := range idle {
		w.end()
	}
	return nil
}

// Render returns what the templates of a chart give, by the names of their files,
// partials left out. Values that the chart's schema does not allow are an error. If
// ctx ends, the error is its cause; if the chart takes too much it is a *BoundError.
func (r *Renderer) Render(ctx context.Context, j Job) (map[string]string, error) {
	if r.opts.Executable == "" {
		files, err := render(j.request(r.opts), j.Chart, j.lookup, nil)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return files, boundOf(j, err)
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for {
		w, used, err := r.worker()
		if err != nil {
			return nil, err
		}
		files, err := w.render(ctx, j, r.opts)
		if w.ended() || !r.keep(w) {
			w.end()
		}
		var lost *lostError
		switch {
		case errors.As(err, &lost) && used && !lost.begun:
			continue
		case lost != nil:
			err = lost.err
		}
		return files, err
	}
}

// worker returns one without work, and whether it has worked before.
func (r *Renderer) worker() (w *worker, used bool, err error) {
	r.mu.Lock()
	if n := len(r.idle); n > 0 {
		w, r.idle = r.idle[n-1], r.idle[:n-1]
	}
	r.mu.Unlock()
	if w != nil {
		return w, true, nil
	}
	w, err = start(r.opts)
	return w, false, err
}

// keep has a worker wait for the next chart, unless the renderer is closed.
func (r *Renderer) keep(w *worker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.idle = append(r.idle, w)
	}
	return !r.closed
}

// Warm starts a worker, if there is none, so that the first chart need not wait
// for that.
func (r *Renderer) Warm() {
	r.mu.Lock()
	needed := r.opts.Executable != "" && len(r.idle) == 0 && !r.closed
	r.mu.Unlock()
	if !needed {
		return
	}
	if w, err := start(r.opts); err == nil && !r.keep(w) { // why it does not start, Render says
		w.end()
	}
}

// size writes a number of bytes.
func size(n int64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB", "GiB"} {
		if n < 1<<10 || n%(1<<10) != 0 || unit == "GiB" {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n >>= 10
	}
	return "" // not reached
}

// lookup answers the template function lookup.
func (j Job) lookup(q query) (map[string]any, error) {
	if j.Lookup == nil {
		return nil, nil
	}
	return j.Lookup(q.APIVersion, q.Kind, q.Namespace, q.Name)
}

// boundOf makes a *BoundError of an error of render that is one.
func boundOf(j Job, err error) error {
	var over *overError
	if errors.As(err, &over) {
		return &BoundError{Chart: j.Chart.Name(), Template: over.template, Bound: over.bound}
	}
	return err
}
