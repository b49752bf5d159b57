// Package render renders the templates of untrusted Helm charts, and evaluates untrusted
// kustomizations.
//
// A template is a program, and Helm does not limit it: {{ range until 2000000000 }}
// uses all memory of the machine, and cannot be stopped before it has ended. A
// chart is therefore rendered by a worker, a process of the same binary that can be
// killed. A worker has limits on memory, time and output; it is killed when the
// context is cancelled, and ends with the process that started it. It has no environment
// variables, and lookups of its templates are performed by the process that started it.
//
// Workers are started when they are needed, are reused for later charts, and cache the
// charts that they have rendered. An idle worker ends after a minute.
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

// Options are the limits of rendering. The zero value has the defaults.
type Options struct {
	// Executable is a program that calls [Main] when its arguments are [Args], as
	// pipe does. Empty: charts are rendered in this process. Then the limits on
	// memory and time do not apply, and Render returns when the templates have ended.
	Executable string
	Memory     int64         // memory of a worker, in bytes; default 1 GiB
	Time       time.Duration // time for one chart; default 1 minute
	Output     int           // total output of the templates of one chart, in bytes; default 16 MiB
	Objects    int           // total number of their YAML documents; default 10 000
	Workers    int           // number of workers; default the number of CPUs, at most 4
}

// Args are the arguments with which Executable is started.
func Args() []string { return []string{"daemon", "render"} }

// complete returns o with unset fields set to their defaults.
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
	Key     string       // identifies the chart: charts with the same key are equal
	Chart   *chart.Chart // not changed
	Values  map[string]any
	Valid   bool // the values are not compared with the chart's schema
	Release chartutil.ReleaseOptions
	// Capabilities are the capabilities of the cluster; nil: Helm's defaults.
	Capabilities *chartutil.Capabilities
	// Lookup implements the template function lookup; nil: it finds nothing.
	Lookup func(apiVersion, kind, namespace, name string) (map[string]any, error)
	// Check discards the result: it only checks whether the values are valid
	// and, unless the templates use lookup, whether the chart can be rendered.
	Check bool

	kustomize string // a directory: Chart has the files of a kustomization
}

// A BoundError means that a chart was not rendered because it exceeds a limit.
type BoundError struct {
	Chart    string // the name of the chart
	Template string // the template being rendered, such as "web/templates/service.yaml"; empty: unknown
	Bound    string // the limit, such as "more than 1 GiB of memory"
}

func (e *BoundError) Error() string {
	what := "chart " + e.Chart
	if e.Template != "" {
		what = "template " + e.Template
	}
	return what + " takes " + e.Bound + " to be rendered: correct the chart, or its values"
}

// A Renderer renders charts. It is safe for concurrent use.
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

// Close ends the workers. Busy workers end when they have rendered their chart.
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

// Render returns the output of the templates of a chart, by file name,
// without partials. Values that violate the chart's schema are an error. If
// ctx is cancelled, the error is its cause; if the chart exceeds a limit, it is a *BoundError.
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

// worker returns an idle worker, and whether it was used before.
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

// keep adds a worker to the idle ones, unless the renderer is closed.
func (r *Renderer) keep(w *worker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.idle = append(r.idle, w)
	}
	return !r.closed
}

// Warm starts a worker, if there is none, so that the first chart need not wait
// for it.
func (r *Renderer) Warm() {
	r.mu.Lock()
	needed := r.opts.Executable != "" && len(r.idle) == 0 && !r.closed
	r.mu.Unlock()
	if !needed {
		return
	}
	if w, err := start(r.opts); err == nil && !r.keep(w) { // Render reports why it does not start
		w.end()
	}
}

// size formats a number of bytes.
func size(n int64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB", "GiB"} {
		if n < 1<<10 || n%(1<<10) != 0 || unit == "GiB" {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n >>= 10
	}
	return "" // not reached
}

// lookup implements the template function lookup.
func (j Job) lookup(q query) (map[string]any, error) {
	if j.Lookup == nil {
		return nil, nil
	}
	return j.Lookup(q.APIVersion, q.Kind, q.Namespace, q.Name)
}

// boundOf converts an overError of render to a *BoundError.
func boundOf(j Job, err error) error {
	var over *overError
	if errors.As(err, &over) {
		return &BoundError{Chart: j.Chart.Name(), Template: over.template, Bound: over.bound}
	}
	return err
}
