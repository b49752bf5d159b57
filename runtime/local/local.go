// Package local opens a runtime on this machine: from the builder, the registry and
// the cluster that its options name, or from the embedded ones.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/deploy"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/render"
	"github.com/pipelinefile/pipe/runtime/store"
)

// Options name the components of a runtime. With only Dir and Home set, it uses the
// embedded builder, the embedded registry and the current context of the
// kubeconfig.
type Options struct {
	Dir         string           // the workspace, which contains sources and charts
	Home        string           // state of pipe on this machine
	Executable  string           // the pipe command, which runs embedded components in the background
	Registry    string           // the registry of images; empty: the embedded one
	BuildKit    []string         // addresses of builders; none: the embedded one
	Environ     []string         // what programs that make images get of the environment, as NAME=value: PATH and HOME
	BuildKitTLS string           // a directory with ca.pem, cert.pem and key.pem, for builders at tcp://
	BuildCache  string           // a repository in which builders keep their cache; empty: each has its own only
	SBOM        string           // the image with which builders make the SBOMs of images (I13); empty: pipe-sbom beside Executable, if it is there
	NoSBOM      bool             // builders make no SBOMs
	Kubeconfig  string           // a file; empty: $KUBECONFIG or ~/.kube/config
	Context     string           // of the kubeconfig; empty: its current one
	Local       bool             // use the local Kubernetes, which is started if it is not running (C5)
	Passive     bool             // start and create nothing: a missing component is an *UnavailableError
	Secrets     runtime.Secrets  // nil: there are none outside the cluster
	Hide        []plan.SecretRef // secrets whose values are redacted even if nothing requests them
	// StateNamespace keeps the state of all environments in one namespace, where
	// the records of runs outlive their environment (E1). Empty: each in its
	// environment's own namespace.
	StateNamespace string
	Render         render.Options // the limits for charts named by chart=; its Executable defaults to that of Options
	KeepRuns       int            // the number of records kept for each environment (E5); default 50
	// Warm caches information about images, sources and charts between runs, for watch
	// mode: the caller must call Runtime.Changed before the next run.
	Warm     bool
	Progress func(string) // called with what is being waited for; nil: not reported
	Notice   func(string) // called with messages to the user, such as that pods do not really run; nil: not reported
}

// render returns how charts are rendered.
func (o Options) render() render.Options {
	out := o.Render
	out.Executable = cmp.Or(out.Executable, o.Executable)
	return out
}

// progress calls Progress, if set.
func (o Options) progress(what string) {
	if o.Progress != nil {
		o.Progress(what)
	}
}

// notice calls Notice, if set.
func (o Options) notice(what string) {
	if o.Notice != nil {
		o.Notice(what)
	}
}

// A Runtime is a runtime with the components that were opened for it.
type Runtime struct {
	runtime.Runtime
	// Inspector shows the environments of the cluster; nil: nothing does. The values of
	// secrets that only this machine has are in what it shows.
	Inspector *inspect.Inspector
	// Config is that of the cluster, for what reaches into its pods.
	Config   *rest.Config
	deployer *deploy.Deployer // nil: there is none, as in tests
	close    []func() error   // in the order of opening
	warm     *warm            // nil: nothing is kept between runs
	refresh  func()           // forgets base images; set if warm is
	embedded *trusted         // the embedded registry; nil: another one is used
	images   *registry.Registry
	scanners []scannerProgram // pipe-sbom, as it is installed
	inputs   func(context.Context, plan.BuildSpec) (plan.Digest, *runtime.ImageInputs, error)
}

// prefix is that of the references of images in the registry.
func (r *Runtime) prefix(opts Options) string {
	if r.embedded != nil {
		return r.embedded.prefix
	}
	return opts.Registry
}

// AddLayer adds a layer to an image of the registry; see
// [registry.Registry.AddLayer].
func (r *Runtime) AddLayer(ctx context.Context, ref string, write func(io.Writer) error) (string, error) {
	return r.images.AddLayer(ctx, ref, write)
}

// Changed invalidates cached information about these paths of the workspace, or
// all of it if paths is nil. See Options.Warm.
func (r *Runtime) Changed(paths []string) {
	if r.warm != nil {
		r.warm.changed(paths)
		r.refresh()
	}
	if r.deployer != nil {
		r.deployer.Changed(paths)
	}
}

// Changes returns what deploying a release, or deleting it if gone is set, would
// change; see [deploy.Deployer.Changes].
func (r *Runtime) Changes(ctx context.Context, release runtime.Release, gone bool) ([]inspect.Change, error) {
	if r.deployer == nil {
		return nil, errors.New("this runtime shows no cluster")
	}
	return r.deployer.Changes(ctx, release, gone)
}

// Keep keeps watches on a namespace open between runs, until Close.
func (r *Runtime) Keep(namespace string) {
	if r.deployer == nil {
		return
	}
	done := r.deployer.Keep(namespace)
	r.close = append(r.close, func() error {
		done()
		return nil
	})
}

// Close releases everything that Open has opened. Embedded components keep running in the
// background for other runs, and end by themselves.
func (r *Runtime) Close() error {
	var errs []error
	for i := len(r.close) - 1; i >= 0; i-- {
		errs = append(errs, r.close[i]())
	}
	r.close = nil
	return errors.Join(errs...)
}

// An UnavailableError means that a component cannot be used: it does not exist, or
// does not respond.
type UnavailableError struct {
	Part string // "cluster", "registry", "builder"
	Err  error  // the reason, with the address or file
	Next string // how to fix it
	// Options are the fields of Options that choose another component, such as
	// "Kubeconfig"; none if that would not help.
	Options []string
}

func (e *UnavailableError) Error() string { return fmt.Sprintf("%s: %v", e.Part, e.Err) }
func (e *UnavailableError) Unwrap() error { return e.Err }

// Advice says what to do about it.
func (e *UnavailableError) Advice() runtime.Advice {
	return runtime.Advice{Do: e.Next, Options: e.Options}
}

// Check returns an *UnavailableError for an option that is invalid. It makes no
// requests: [Open] checks whether the components exist.
func (o Options) Check() error {
	for i, addr := range o.BuildKit {
		if slices.Contains(o.BuildKit[:i], addr) {
			return &UnavailableError{"builder", fmt.Errorf("%q is given twice", redact.URLs(addr)), "name each builder once", []string{"BuildKit"}}
		}
		if err := build.CheckAddress(addr); err != nil {
			return &UnavailableError{"builder", fmt.Errorf("%q: %w", redact.URLs(addr), err), "name one such as tcp://builder:1234 or docker-container://buildkitd", []string{"BuildKit"}}
		}
	}
	if o.Registry != "" {
		if _, err := named(registry.Options{Prefix: o.Registry}); err != nil {
			return err
		}
	}
	if o.BuildCache != "" {
		if err := checkCache(o.BuildCache); err != nil {
			return &UnavailableError{"builder", fmt.Errorf("the cache: %w", err), "name a repository such as registry.example.com/shop/cache, without https:// and a tag", []string{"BuildCache"}}
		}
	}
	_, err := builderTLS(o.BuildKitTLS)
	return err
}

// Open opens a runtime. It checks that the cluster responds, and
// attaches to the registry; the embedded builder is started on the first build. If a
// component cannot be used, the error is an *UnavailableError.
func Open(ctx context.Context, opts Options) (*Runtime, error) {
	r := &Runtime{}
	if err := r.open(ctx, opts); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Runtime) open(ctx context.Context, opts Options) error {
	if err := opts.checkRegistries(); err != nil {
		return err
	}
	hide := newRedactor(opts.notice)
	var from runtime.Secrets
	if opts.Secrets != nil {
		// Before anything else is opened, and so before anything is written (D30).
		if err := opts.FetchSecrets(ctx); err != nil {
			return err
		}
		from = secrets{opts.secrets(), hide}
		for _, ref := range opts.Hide {
			// A missing secret is reported when it is needed.
			_, _ = from.Secret(ctx, ref)
		}
	}
	builder, err := r.builder(opts, from)
	if err != nil {
		return err
	}
	// The cluster comes first, so that no registry is started needlessly without one.
	config, err := cluster(ctx, opts)
	if err == nil {
		r.Registry, err = r.registry(ctx, opts)
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	r.Builder, r.Hide, r.inputs = builder, hide.hide, builder.Inputs
	sign := newSignatures(r.images, from, opts)
	scanner := &scans{images: r.images, mirror: r.Registry.Mirror, run: builder.Scan, again: sign.again}
	r.Signatures, r.Scans = sign, scanner
	if embedded, ok := r.Registry.(revived); ok {
		sign.again, scanner.again = embedded.again, embedded.again
		r.Builder = pushing{builder, embedded, r.embedded.pushed}
	}
	if !opts.Passive {
		r.Builder = noting{r.Builder, r.images, builder.Inputs, builder.Bases}
		r.Registry = joining{r.Registry, r.joins(opts, config)}
	}

	if opts.Warm {
		r.warm, r.refresh = newWarm(), builder.Refresh
		r.Builder = warmBuilder{r.Builder, r.warm}
		r.Registry = warmRegistry{r.Registry, r.warm}
	}

	deployer, err := deploy.New(deploy.Options{
		Config:   config,
		Dir:      opts.Dir,
		CacheDir: filepath.Join(opts.Home, "cache"),
		Secrets:  from,
		Reads:    hide.add,
		Render:   opts.render(),
		Notice:   opts.notice,

		Checkouts: Checkouts(opts.Home),
	})
	if err != nil {
		return err
	}
	r.close = append(r.close, deployer.Close)
	r.Deployer, r.deployer, r.Config = deployer, deployer, config
	if r.Inspector, err = inspect.New(config); err != nil {
		return err
	}

	s, err := stateOf(config, opts)
	if err != nil {
		return err
	}
	r.Store, r.Locker = s, s
	return nil
}

// Store opens only the store of the cluster that opts name, for reading the state.
// It starts nothing if opts are passive.
func Store(ctx context.Context, opts Options) (*store.Store, error) {
	config, err := cluster(ctx, opts)
	if err != nil {
		return nil, err
	}
	return stateOf(config, opts)
}

// secrets returns the source of secrets, with values of managers.
func (o Options) secrets() runtime.Secrets {
	if all, ok := o.Secrets.(Secrets); ok {
		return managed{all, o, new(sync.Mutex)}
	}
	return o.Secrets
}

func stateOf(config *rest.Config, opts Options) (*store.Store, error) {
	config = withPatience(config, retry.Patience)
	config.QPS, config.Burst = 1000, 2000 // the server has its own limits, which are fair
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return store.Open(client, store.Options{Namespace: opts.StateNamespace, KeepRuns: opts.KeepRuns}), nil
}
