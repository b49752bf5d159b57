package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/internal/background"
	"github.com/pipelinefile/pipe/internal/mirrors"
	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
	"github.com/pipelinefile/pipe/runtime/deploy/buildkit"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// builder returns the builder that opts name, or the embedded one, which
// is started on the first build: a run that builds nothing needs none.
func (r *Runtime) builder(opts Options, from runtime.Secrets) (*build.Builder, error) {
	tls, err := builderTLS(opts.BuildKitTLS)
	if err != nil {
		return nil, err
	}
	r.scanners = scannerPrograms(opts.Executable)
	embedded := embeddedBuilder(opts)
	r.close = append(r.close, embedded.Close)
	b := build.New(build.Options{
		Dir:       opts.Dir,
		Addresses: opts.BuildKit,
		Farm: func(ctx context.Context, farm build.FarmAddress) ([]build.Member, error) {
			return opts.farm(ctx, farm, r.prefix(opts))
		},
		Start:    embedded.addr,
		TLS:      tls,
		Cache:    opts.BuildCache,
		CacheDir: buildCache(opts.Home),
		Secrets:  from,
		Password: r.password,
		Notice:   opts.notice,

		Environ: opts.Environ,
		Push: func(ctx context.Context, ref string, image remote.Taggable, emit runtime.Emit) (plan.Digest, error) {
			return r.images.Push(ctx, ref, image, emit) // it is opened after the builder
		},
		Pull: func(ctx context.Context, ref string) (*remote.Descriptor, error) { return r.images.Pull(ctx, ref) },
		Attest: build.Attest{
			Beside: func(ref string) string { return r.images.Beside(ref) },
			Publish: func(ctx context.Context, beside, ref string) (plan.Digest, error) {
				return r.images.Publish(ctx, beside, ref)
			},
			Scanner: r.scanner(opts),
		},
	})
	r.close = append(r.close, b.Close)
	return b, nil
}

// embeddedBuilder returns the embedded BuildKit, which is started when its address is needed.
func embeddedBuilder(opts Options) *attachment {
	return &attachment{part: "builder", home: opts.Home, next: "install what is missing, or use another builder", option: "BuildKit", ensure: daemon.Background{
		Home: opts.Home, Executable: opts.Executable, Progress: func(what string) { opts.progress("embedded builder: " + what) },
	}.Ensure, progress: opts.progress, notice: opts.notice}
}

// farm returns the builders of a farm that are ready. They push to a registry.
func (o Options) farm(ctx context.Context, farm build.FarmAddress, registry string) ([]build.Member, error) {
	if host, _, _ := strings.Cut(registry, "/"); mirrors.IsLoopback(host) {
		return nil, runtime.Advise(fmt.Errorf("builders in a cluster cannot push to the registry at %s, which only this machine can reach", host),
			runtime.Advice{Do: "use a registry that the cluster can reach, too", Options: []string{"Registry"}})
	}
	if farm.Context != "" {
		o.Context, o.Local = farm.Context, false
	}
	config, _, err := find(ctx, o)
	if err != nil {
		return nil, err
	}
	builders, err := buildkit.Open(config, farm.Namespace)
	if err != nil {
		return nil, err
	}
	ready, err := builders.Ready(ctx)
	var members []build.Member
	for _, c := range ready {
		members = append(members, build.Member{Name: c.Name, Instance: c.Instance, Dial: c.Dial, Limits: build.Limits{CPU: c.CPU, Memory: c.Memory}})
	}
	return members, err
}

// buildCache is the directory of the caches of builds.
func buildCache(home string) string { return filepath.Join(home, "cache", "build") }

// Checkouts returns the directory of checkouts of git repositories, which builds and charts share (I10).
func Checkouts(home string) string { return build.Checkouts(buildCache(home)) }

// checkCache returns an error if the repository of the cache of builds is invalid.
func checkCache(repository string) error {
	_, err := registry.New(registry.Options{Prefix: repository})
	host, name, _ := strings.Cut(repository, "/")
	if err != nil || name == "" || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return fmt.Errorf("%q is not a repository in a registry", redact.URLs(repository))
	}
	return nil
}

// builderTLS finds the files of a directory with the layout of buildctl's
// --tlsdir: ca.pem, cert.pem and key.pem.
func builderTLS(dir string) (build.TLS, error) {
	if dir == "" {
		return build.TLS{}, nil
	}
	files := build.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for _, file := range []string{files.CA, files.Cert, files.Key} {
		if _, err := os.Stat(file); err != nil {
			return build.TLS{}, &UnavailableError{"builder", fmt.Errorf("the certificates: %w", err), "name a directory with ca.pem, cert.pem and key.pem", []string{"BuildKitTLS"}}
		}
	}
	return files, nil
}

// An attachment starts an embedded component on first use and holds it until Close.
type attachment struct {
	part, next string
	option     string // the option that chooses another component
	home       string // the directory of its state
	ensure     func(context.Context) (*background.Attached, error)
	progress   func(string) // called with "" when the wait is over
	notice     func(string) // called with damage that was repaired

	mu   sync.Mutex // guards what follows; held while the component starts, so that it is started once
	held []*background.Attached
}

// addr attaches to the component and returns its address.
func (a *attachment) addr(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.progress("")
	attached, err := a.ensure(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		if e := writable(a.home); e != nil { // then the component cannot even record its error
			return "", &UnavailableError{a.part, fmt.Errorf("%w; %w", e, err), "make room on the disk of " + a.home + ", or use another directory", []string{"Home"}}
		}
		if errors.Is(err, fs.ErrPermission) {
			return "", &UnavailableError{a.part, err, "make sure that you own " + a.home + " and can write everything in it: chmod -R u+rwX " + a.home + "; or use another directory", []string{"Home"}}
		}
		return "", &UnavailableError{a.part, err, a.next, []string{a.option}}
	}
	a.held = append(a.held, attached)
	for _, note := range attached.Notes {
		a.notice("embedded " + a.part + ": " + note)
	}
	return attached.Addr, nil
}

// Close releases the component.
func (a *attachment) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, attached := range a.held {
		attached.Release()
	}
	a.held = nil
	return nil
}

// writable returns an error if nothing can be written below dir.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".room-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Close())
}
