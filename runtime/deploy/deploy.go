// Package deploy manages Helm releases, with Helm as a library.
//
// Releases are ordinary ones: the helm command lists them, shows their history
// and rolls them back (D3). The package replaces what Helm does slowly or not
// at all: all releases share the discovery data of the cluster, readiness comes
// from shared watches (D2), work interrupted by the death of a process is
// recovered (A6), and a failure is explained before it is rolled back (A8).
//
// # A deploy
//
//  1. Read the history of the release, with one request.
//  2. Let Helm write the release: record it as pending, write its objects,
//     record it as deployed. This part is never cancelled (A4).
//  3. Wait for its workloads.
//  4. Label the revision as ready.
//
// A process that dies in step 2 leaves a pending release, which the next one
// marks as a failed revision before it starts; the caller holds the lease of
// the environment, so nothing else works on it. A process that dies in step 3
// leaves a release that only has to be waited for. All information needed for
// that is in labels of Helm's Secrets.
//
// # Words
//
//   - An operation is one action on one release; a revision is one version of a release that
//     Helm has recorded; a target is a workload that must become ready.
//   - The owner of a release, a namespace or an object is an environment (E6). Mark: what Helm
//     sets on an object to name its release.
//   - Adopt: make an existing object or release, which has no owner, part of a release (E8).
//     Foreign: of somebody else, and neither written nor deleted. A conflict is a foreign
//     object with the name of one that a release would write.
//   - Home: the namespace of an environment. Its further namespaces are those of services (E9).
//   - Prepare: write what the releases of an environment need and none of them has.
//   - Await: wait for what was written. A trouble keeps a workload from getting ready.
//   - A claim is a PersistentVolumeClaim. A volume is one that belongs to a release, and a disk
//     one that belongs to none.
//   - A leftover is an object that only failed revisions have. What remains in a namespace keeps
//     it from being deleted.
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

// Options configure a Deployer.
type Options struct {
	Config   *rest.Config // of the cluster
	Dir      string       // the workspace, which contains the charts
	CacheDir string       // for remote charts
	// Checkouts is the directory of checkouts of git repositories, which a builder may share. Default:
	// below CacheDir.
	Checkouts string
	Secrets   runtime.Secrets // source of secret values other than the cluster (D4); nil: none
	// Reads, if set, is called with each secret that is read for the values of a chart,
	// which may be in the objects and the errors of the release.
	Reads      func(ref plan.SecretRef, value string)
	HistoryMax int // number of revisions that Helm keeps; default 10
	// Render limits the resources for rendering charts of services. Without an
	// Executable, templates are rendered in this process, without limits on
	// memory and time.
	Render render.Options
	// Notice, if set, is called with a message about damage in CacheDir that is
	// fetched again, or about what cannot be stored there.
	Notice func(string)
}

const (
	defaultHistory = 10
	// defaultTimeout is for services without a timeout, which plans do not
	// contain.
	defaultTimeout = 5 * time.Minute
)

// A Deployer manages the releases of one cluster. It is safe for concurrent
// use, provided that each release is used by one caller at a time.
type Deployer struct {
	opts     Options
	cluster  *cluster
	shelf    *chart.Shelf
	renderer *render.Renderer // for charts that are not generated
	caches   observe.Caches
	secrets  secrets
	checked  checked
	named    namings
	seen     seen

	answered atomic.Bool // the cluster has answered before
}

var _ runtime.Deployer = (*Deployer)(nil)

// New returns a Deployer. It sends no request.
func New(opts Options) (*Deployer, error) {
	if opts.HistoryMax == 0 {
		opts.HistoryMax = defaultHistory
	}
	c, err := newCluster(opts.Config)
	if err != nil {
		return nil, fmt.Errorf("the configuration of the cluster: %w", err)
	}
	shelf := chart.NewShelf(opts.Dir, filepath.Join(opts.CacheDir, "charts"))
	if opts.Checkouts != "" {
		shelf.ShareCheckouts(opts.Checkouts)
	}
	shelf.Notice = opts.Notice
	shelf.Renderer = render.New(opts.Render)
	return &Deployer{opts: opts, cluster: c, renderer: shelf.Renderer, shelf: shelf}, nil
}

// Close ends the processes that render charts. Otherwise they end a minute
// after their last use, or with this process.
func (d *Deployer) Close() error { return d.renderer.Close() }

// Changed discards cached charts: those at the given paths of the workspace, or
// all if paths is nil. Otherwise a Deployer uses a chart as it was at its first
// use.
func (d *Deployer) Changed(paths []string) { d.shelf.Changed(paths) }

// Keep keeps the watches on the workloads of a namespace open between deploys,
// until done is called. Otherwise each deploy that finds none open starts by
// listing all workloads.
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
	return d.retry(ctx, emit, string(a)+" "+r.Service.Name, func() error { return act(ctx, r, emit) })
}

// deploy installs or upgrades a release. It deploys even a release that is up to date, as
// the caller has looked and wants this; then jobs that have ended run again.
func (d *Deployer) deploy(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	d.seen.forget(r.Namespace)
	o, err := d.open(ctx, r, emit)
	if err != nil {
		return err
	}
	defer o.close()
	if err := o.loadChart(ctx); err != nil {
		return err
	}
	if err := o.recover(ctx); err != nil {
		return d.explain(ctx, err)
	}
	err = o.deploy(ctx)
	var stuck *unready
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// The release stays as it was written: the next run waits for it, or writes it again.
		return context.Cause(ctx)
	case errors.As(err, &stuck) && !observe.Unreachable(err):
		return o.fail(ctx, stuck)
	}
	return d.explain(ctx, err)
}

// deploy writes the release unless it is written already, waits for it, and marks it as
// ready.
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
	if err := o.supersede(); err != nil { // before it counts as ready: then nothing would write it again
		return err
	}
	return o.setLabels(map[string]any{observe.LabelReady: fmt.Sprint(o.rel.Version)})
}

func timeoutOf(s plan.Service) time.Duration {
	if s.Timeout <= 0 {
		return defaultTimeout
	}
	return time.Duration(s.Timeout)
}
