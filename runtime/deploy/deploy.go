// Package deploy acts on Helm releases, with Helm as a library.
//
// Releases are ordinary ones: the helm command lists them, shows their history
// and rolls them back (D3). What Helm does slowly or not at all is done here:
// all releases share what is known of the cluster, readiness is learned from
// watches that they share (D2), what a dead process left is recovered (A6), and
// a failure is explained before it is rolled back (A8).
//
// # A deploy
//
//  1. The history of the release is looked at, one request.
//  2. Helm writes the release: it is recorded as pending, its objects are written,
//     it is recorded as deployed. This part is never cancelled (A4).
//  3. Its workloads are waited for.
//  4. The revision gets the label that says that it is ready.
//
// A process that dies in 2 leaves a pending release, of which the next one makes a
// failed revision before it begins; whoever calls holds the lease of the environment,
// so nobody else is at it. One that dies in 3 leaves a release that only has to be
// waited for. All that has to be known for that is in labels of Helm's Secrets.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
	"github.com/pipelinefile/pipe/runtime/render"
)

// Options say where a Deployer works.
type Options struct {
	Config     *rest.Config    // of the cluster
	Dir        string          // the workspace, in which charts are
	CacheDir   string          // for charts from elsewhere
	Secrets    runtime.Secrets // where values of secrets come from besides the cluster (D4); nil: from nowhere
	HistoryMax int             // revisions that Helm keeps of a release; default 10
	// Render bounds what the charts may take that services bring. Without an
	// Executable, their templates run in this process, without bounds of memory and time.
	Render render.Options
	// Notice, if set, is told what is damaged in CacheDir and is fetched again, or
	// cannot be kept there.
	Notice func(string)
}

const (
	historyMax = 10
	// defaultTimeout is for services without one, which no plan has.
	defaultTimeout = 5 * time.Minute
)

// A Deployer acts on the releases of one cluster. It is safe for concurrent use,
// as long as each release is acted on by one at a time.
type Deployer struct {
	opts     Options
	cluster  *cluster
	shelf    *chart.Shelf
	renderer *render.Renderer // of charts that others wrote
	caches   observe.Caches
	secrets  secrets
	checked  checked
	seen     seen

	answered atomic.Bool // the cluster has answered before
}

var _ runtime.Deployer = (*Deployer)(nil)

// New returns a Deployer. It asks no server.
func New(opts Options) (*Deployer, error) {
	if opts.HistoryMax == 0 {
		opts.HistoryMax = historyMax
	}
	c, err := newCluster(opts.Config)
	if err != nil {
		return nil, fmt.Errorf("the configuration of the cluster: %w", err)
	}
	shelf := chart.NewShelf(opts.Dir, filepath.Join(opts.CacheDir, "charts"))
	shelf.Notice = opts.Notice
	return &Deployer{opts: opts, cluster: c, renderer: render.New(opts.Render), shelf: shelf}, nil
}

// Close ends the processes that have rendered charts. Without it they end by
// themselves a minute later, or with this process.
func (d *Deployer) Close() error { return d.renderer.Close() }

// Changed has what is kept of charts forgotten: of those at the paths of the
// workspace, or of all if paths is nil. Without it a Deployer takes a chart for
// what it was when it was first used.
func (d *Deployer) Changed(paths []string) { d.shelf.Changed(paths) }

// Keep keeps the watches on the workloads of a namespace open between deploys,
// until done is called: otherwise each deploy that finds none open begins with
// lists of all of them.
func (d *Deployer) Keep(namespace string) (done func()) {
	_, done = d.caches.Of(d.cluster.Cluster, namespace, nil)
	return done
}

// Act implements [runtime.Deployer].
func (d *Deployer) Act(ctx context.Context, a runtime.Action, r runtime.Release, emit runtime.Emit) error {
	var act func(context.Context, runtime.Release, runtime.Emit) error
	switch a {
	case runtime.Deploy:
		act = d.deploy
	case runtime.Stop:
		act = d.stop
	case runtime.Start:
		act = d.start
	case runtime.Restart:
		act = d.restart
	case runtime.Delete:
		act = d.uninstall
	default:
		return fmt.Errorf("unknown action %q", a)
	}
	return d.again(ctx, emit, string(a)+" "+r.Service.Name, func() error { return act(ctx, r, emit) })
}

// deploy installs or upgrades a release. One that is deployed already as it would be
// is deployed once more: the caller has looked, and wants that. Jobs that have ended
// run again then.
func (d *Deployer) deploy(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	d.seen.forget(r.Namespace)
	o, err := d.open(ctx, r, emit)
	if err != nil {
		return err
	}
	defer o.close()
	if err := o.prepare(ctx); err != nil {
		return err
	}
	if err := o.recover(); err != nil {
		return d.explain(ctx, err)
	}
	err = o.deploy(ctx)
	var stuck *unready
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// What is written is written: the next run waits for it, or writes it anew.
		return context.Cause(ctx)
	case errors.As(err, &stuck) && !observe.Unreachable(err):
		return o.fail(ctx, stuck)
	}
	return d.explain(ctx, err)
}

// deploy writes the release unless it is written already, waits for it, and
// notes that it is ready.
func (o *operation) deploy(ctx context.Context) error {
	targets, resumed, err := o.resume()
	if err != nil {
		return err
	}
	if !resumed {
		if targets, err = o.write(ctx); err != nil {
			return err
		}
	}
	if !o.waited {
		if err := o.await(ctx, targets); err != nil {
			return err
		}
	}
	o.warnOfServices()
	return o.mark(map[string]any{observe.LabelReady: fmt.Sprint(o.rel.Version)})
}

func timeoutOf(s plan.Service) time.Duration {
	if s.Timeout <= 0 {
		return defaultTimeout
	}
	return time.Duration(s.Timeout)
}
