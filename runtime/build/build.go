// Package build builds images with BuildKit.
//
// What an image is made of is a source: the files of a build context, or a
// commit of a git repository. Its digest is the image's identity (I1). Exactly
// what was identified is built: the content of each file is checked as it is
// sent, so that one that changes meanwhile is an error and never an image under
// the wrong identity.
//
// Of a file of a local context its path, its content and whether it can be
// executed count, as in git; and these alone are sent: files arrive with mode
// 0644 or 0755, folders with 0755, all owned by root. So the same context gives
// the same image on machines with another umask. An image is dated with
// SOURCE_DATE_EPOCH, by default 0, unless the build has such an argument: layers
// from BuildKit's cache give the same image again.
package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Options say where builds run and with what.
type Options struct {
	// Dir is the workspace's root on this machine: sources are below it.
	Dir string
	// Addresses are those of BuildKit: unix:///run/x.sock, tcp://host:port,
	// docker-container://name, kube-pod://name. Builds are spread over several,
	// which should be of one platform.
	Addresses []string
	// Start, used if there are no addresses, starts the embedded BuildKit or
	// finds it, and returns its address. It is called when a build needs it.
	Start func(ctx context.Context) (addr string, err error)
	// TLS is for addresses that begin with tcp://. Default: none.
	TLS TLS
	// PlainHTTP are registries that are reached without TLS, as host:port. Those
	// on loopback always are.
	PlainHTTP []string
	// CacheDir is a folder for what is known of files and for checkouts, safe to
	// be lost and to be shared. Default: nothing is kept.
	CacheDir string
	// Secrets are where the secrets of builds come from. Default: there are none.
	Secrets runtime.Secrets
	// Limits are those of each build.
	Limits Limits
	// Reproducible sets all times in layers to SOURCE_DATE_EPOCH, so that two
	// builders that never met push the same digest, if the commands of the build
	// are deterministic. BuildKit then unpacks and packs all layers of its own
	// again in each build, also those that did not change: half a minute to a
	// minute for a gigabyte.
	Reproducible bool
	// Password, if set, returns the user name and the password for a registry, or
	// false: then DockerConfig has them. It is asked for each build.
	Password func(host string) (user, password string, ok bool)
	// DockerConfig is the folder with Docker's config.json, whose credential
	// helpers give access to registries. Default: the one that docker uses.
	DockerConfig string
	// Notice, if set, is told what was damaged in CacheDir and is made again.
	Notice func(text string)
}

// TLS names the files of a connection that both sides prove themselves on.
type TLS struct {
	CA, Cert, Key string // paths of PEM files
	ServerName    string // that the server's certificate is for; default: the host of the address
}

// Limits are what each command of a build may use at most. A builder that runs
// as an ordinary user cannot enforce them.
type Limits struct {
	CPU    float64 // cores; default 4; negative: no limit
	Memory int64   // bytes; default 4 GiB; negative: no limit
}

// A Builder builds images with BuildKit. It may be used by many goroutines.
type Builder struct {
	opts      Options
	pool      *pool
	walks     flight[*tree]  // of contexts, by folder and patterns
	commits   flight[string] // that refs of repositories name
	checkouts flight[string] // folders of checkouts
	checked   sync.Map       // folders of checkouts that are known to be whole

	mu   sync.Mutex
	seen map[string]seen // by specification; guarded by mu
}

// seen is what Identify has found out of a specification.
type seen struct {
	identity plan.Digest
	commit   string // of a git source
}

var _ runtime.Builder = (*Builder)(nil)

// New returns a builder. It connects when it is needed.
func New(opts Options) *Builder {
	return &Builder{opts: opts, pool: newPool(opts), seen: map[string]seen{}}
}

// Close ends the connections to builders.
func (b *Builder) Close() error { return b.pool.close() }

// key identifies what spec builds from where.
func key(spec plan.BuildSpec) (string, error) {
	spec.ID, spec.Pos = "", plan.Pos{}
	data, err := json.Marshal(spec)
	return string(data), err
}

// Identify implements [runtime.Builder]. For a git source it asks the
// repository which commit a ref names, unless it is a commit. An error about
// what is built names the position of spec and what to do.
func (b *Builder) Identify(ctx context.Context, spec plan.BuildSpec) (plan.Digest, error) {
	k, err := key(spec)
	if err != nil {
		return "", err
	}
	src, err := b.open(ctx, spec, "")
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[k] = seen{src.identity, src.commit}
	return src.identity, nil
}

// Build implements [runtime.Builder]. If spec was identified and its sources
// have changed since, nothing is built and the error is a [runtime.ErrConflict].
// What may pass by itself is tried again, and told as [runtime.Retried].
func (b *Builder) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (plan.Digest, error) {
	k, err := key(spec)
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	was := b.seen[k]
	b.mu.Unlock()
	src, err := b.open(ctx, spec, was.commit)
	if err != nil {
		return "", err
	}
	if was.identity != "" && was.identity != src.identity {
		return "", errChanged(spec, "")
	}
	secrets, err := b.lookUp(ctx, spec)
	if err != nil {
		return "", err
	}
	return b.retry(ctx, spec, emit, func(n *node) (plan.Digest, error) {
		return b.solve(ctx, n, job{spec: spec, src: src, ref: ref, secrets: secrets}, emit)
	})
}

// errChanged says that the sources changed between Identify and Build.
func errChanged(spec plan.BuildSpec, file string) error {
	what := "the build context of " + spec.ID
	if file != "" {
		what = file + " in " + what
	}
	return fmt.Errorf("%s: %w: it changed after the run had looked at it; run again", what, runtime.ErrConflict)
}

// problem returns an error about what a Pipelinefile says, with its position.
func problem(spec plan.BuildSpec, err error, next string) error {
	text := strings.TrimPrefix(err.Error(), "lstat ")
	if next != "" {
		text += ": " + next
	}
	if !spec.Pos.IsZero() {
		text = spec.Pos.String() + ": " + text
	}
	return &positioned{text, err}
}

// A positioned is an error whose text has a position.
type positioned struct {
	text string
	err  error
}

func (e *positioned) Error() string { return e.text }
func (e *positioned) Unwrap() error { return e.err }

// lookUp returns the values of the secrets of spec by their names.
func (b *Builder) lookUp(ctx context.Context, spec plan.BuildSpec) (map[string]runtime.Secret, error) {
	values := make(map[string]runtime.Secret, len(spec.Secrets))
	for _, ref := range spec.Secrets {
		if ref.Service != "" {
			return nil, problem(spec, fmt.Errorf("a credential of database %s cannot be used in a build", ref.Service),
				"it exists only in the environment's namespace")
		}
		if _, ok := values[ref.Name]; ok {
			return nil, problem(spec, fmt.Errorf("two secrets of the build are called %s", ref.Name), "a build mounts secrets by name, so give one")
		}
		var value runtime.Secret
		err := runtime.ErrNotFound
		if b.opts.Secrets != nil {
			value, err = b.opts.Secrets.Secret(ctx, ref)
		}
		if errors.Is(err, runtime.ErrNotFound) {
			return nil, problem(spec, fmt.Errorf("secret %s of the build: %w", ref.Name, err), "give its value with --secrets")
		}
		if err != nil {
			return nil, problem(spec, fmt.Errorf("secret %s of the build: %w", ref.Name, err), "")
		}
		values[ref.Name] = value
	}
	return values, nil
}
