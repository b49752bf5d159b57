// Package build builds images with BuildKit, or has programs of this machine make them.
//
// An image is built from a source: the files of a build context, or a
// commit of a git repository. The digest of the source is part of the image's identity
// (I1). The build uses exactly the identified source: the content of each file is checked
// while it is sent, so that a file that changes meanwhile is an error and never results
// in an image under the wrong identity.
//
// For a file of a local context, its path, its content and its executable bit
// count, as in git, and only these are sent: files have mode
// 0644 or 0755, directories 0755, all owned by root. So the same context produces
// the same image on machines with a different umask. An image is dated with
// SOURCE_DATE_EPOCH, by default 0, unless the build sets this argument: layers
// from BuildKit's cache produce the same image again.
package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/internal/git"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/flight"
)

// Options configure a Builder.
type Options struct {
	// Dir is the root of the workspace, which contains the sources.
	Dir string
	// Addresses are addresses of BuildKit: unix:///run/x.sock, tcp://host:port,
	// ssh://user@host, docker-container://name, kube-pod://name, kube://namespace,
	// docker://context. Builds are distributed across them (I20); they should have the same
	// platform.
	Addresses []string
	// Farm finds the builders of a farm in a cluster, those that are ready. It is needed for
	// addresses that begin with kube:// only.
	Farm func(ctx context.Context, farm FarmAddress) ([]Member, error)
	// Start, used if there are no addresses, starts the embedded BuildKit if it is not
	// running, and returns its address. It is called when a build needs it.
	Start func(ctx context.Context) (addr string, err error)
	// TLS is for addresses that begin with tcp://. Default: none.
	TLS TLS
	// PlainHTTP are registries that are accessed without TLS, as host:port. Registries
	// on loopback always are.
	PlainHTTP []string
	// Cache is a repository in a registry, such as registry.example.com/shop/cache, in which
	// the cache of each build is kept: a build reads it first, and writes it at the end.
	// Default: the builders have their own caches only.
	Cache string
	// CacheDir is a directory for digests of files and for checkouts. It may be deleted
	// and shared. Default: nothing is cached, and git sources cannot be built.
	CacheDir string
	// Secrets is the source of the secrets of builds. Default: none.
	Secrets runtime.Secrets
	// Limits are the limits of each build.
	Limits Limits
	// Reproducible sets all times in layers to SOURCE_DATE_EPOCH, so that
	// independent builders push the same digest if the commands of the build
	// are deterministic. BuildKit then unpacks and repacks all layers
	// in each build, including unchanged ones, which takes half a minute to a
	// minute per gigabyte.
	Reproducible bool
	// Password, if set, returns the user name and the password for a registry, or
	// false to use DockerConfig. It is called for each build.
	Password func(host string) (user, password string, ok bool)
	// DockerConfig is the directory with Docker's config.json, whose credential
	// helpers give access to registries. Default: the one that docker uses.
	DockerConfig string
	// Push stores an image that a program of this machine, or a buildpack, has made at a reference. It is
	// needed for such builds only.
	Push func(ctx context.Context, ref string, image remote.Taggable, emit runtime.Emit) (plan.Digest, error)
	// Pull returns an image, by digest, of the registry that Push stores to, or a builder image of any
	// registry (I32). It is needed for such builds only, and must be usable until the image that was made of
	// it is pushed.
	Pull func(ctx context.Context, ref string) (*remote.Descriptor, error)
	// Environ are the variables that all these programs get, as NAME=value. They should be PATH and
	// HOME: no secret of this process is for them.
	Environ []string
	// Attest attaches provenance and SBOMs to images (I12, I13). Default: they have none.
	Attest Attest
	// Notice, if set, is called with what was damaged in CacheDir and is created again.
	Notice func(text string)
}

// Attest says where images are pushed together with their attestations: as an index of both at a
// reference beside that of the image, whose digest differs from build to build. The image then
// gets its own reference, with the digest that it would have without attestations.
type Attest struct {
	// Beside returns the reference of that index for the reference of an image, in the same
	// repository. Nil: images get no attestations.
	Beside func(ref string) string
	// Publish gives the image of the index at beside its own reference, and returns its digest.
	Publish func(ctx context.Context, beside, ref string) (plan.Digest, error)
	// Scanner returns what builders make the SBOM of an image with (I13); nothing if it cannot be used,
	// which Scanner itself reports. Nil: BuildKit makes none.
	Scanner func(ctx context.Context, emit runtime.Emit) Scanner
}

// A Scanner makes SBOMs of images inside of builders, by BuildKit's protocol. The zero value makes none.
type Scanner struct {
	Image string // by digest, from where builders can pull it
	Hint  string // what the user can do if it fails
}

// TLS configures mutual TLS.
type TLS struct {
	CA, Cert, Key string // paths of PEM files
	ServerName    string // the name in the server's certificate; default: the host of the address
}

// A Builder builds images with BuildKit. It is safe for concurrent use.
type Builder struct {
	opts      Options
	pool      *pool
	walks     flight.Group[*tree]  // of contexts, by directory and patterns
	commits   flight.Group[string] // of refs of repositories
	checkouts git.Checkouts
	fetches   flight.Group[*git.Checkout] // by commit
	tags      tags                        // of base images
	sweep     sync.Once                   // removes what killed processes have left

	mu   sync.Mutex
	seen map[string]seen                // by specification; guarded by mu
	used map[string][]runtime.BaseImage // by reference of the image; guarded by mu; see Bases
	runs map[string][]string            // run images, by builder image and platforms; guarded by mu; see RunImages

	cacheFrom time.Time // when the cache is used again; guarded by mu
}

// seen is what Identify has determined about a specification.
type seen struct {
	identity plan.Digest
	commit   string // of a git source
}

var _ runtime.Builder = (*Builder)(nil)

// New returns a builder. It connects on first use.
func New(opts Options) *Builder {
	b := &Builder{opts: opts, pool: newPool(opts), seen: map[string]seen{}, used: map[string][]runtime.BaseImage{}, runs: map[string][]string{}}
	b.walks.Fresh, b.commits.Fresh = true, true // a file or a branch may have changed since
	b.checkouts.Dir, b.checkouts.Notice = Checkouts(opts.CacheDir), opts.Notice
	return b
}

// Close closes the connections to builders.
func (b *Builder) Close() error { return b.pool.close() }

// key identifies a specification with its source.
func key(spec plan.BuildSpec) (string, error) {
	spec.ID, spec.Pos = "", plan.Pos{}
	data, err := json.Marshal(spec)
	return string(data), err
}

// Identify implements [runtime.Builder]. For a git source it looks up the commit of the
// ref in the repository, unless the ref is a commit. An error about the
// source includes the position of spec and how to fix it.
func (b *Builder) Identify(ctx context.Context, spec plan.BuildSpec) (plan.Digest, error) {
	k, err := key(spec)
	if err != nil {
		return "", err
	}
	src, err := b.open(ctx, spec, opening{})
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
// Transient errors are retried, and reported as [runtime.Retried].
func (b *Builder) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (plan.Digest, error) {
	k, err := key(spec)
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	was := b.seen[k]
	b.mu.Unlock()
	src, err := b.open(ctx, spec, opening{commit: was.commit, contents: true, emit: emit})
	if err != nil {
		return "", err
	}
	if was.identity != "" && was.identity != src.identity {
		return "", errChanged(spec, "")
	}
	if src.unused != "" {
		emit(runtime.Warned{Diagnostic: plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: spec.Pos,
			Message: fmt.Sprintf("%s does not apply to the build of %s: the Dockerfile is not at the top of the build context", src.unused, spec.ID),
			Hint:    fmt.Sprintf("rename it to %s, or move its lines to the .dockerignore of the context", path.Join(spec.Source.Path, spec.Dockerfile)+".dockerignore"),
		}})
	}
	if c := spec.Command; c != nil && len(c.Inputs) > 0 && len(src.tree.entries) == 0 {
		emit(runtime.Warned{Diagnostic: plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: spec.Pos,
			Message: fmt.Sprintf("no file matches the inputs of the image of %s, which is not built again when a file changes", spec.ID),
			Hint:    "correct inputs=, whose patterns are relative to the source, " + spec.Source.Path,
		}})
	}
	src.warnOfProject(spec, emit)
	if !spec.UsesBuildKit() {
		return b.byProgram(ctx, spec, src, ref, emit)
	}
	if spec.Buildpack != nil {
		return b.byBuildpacks(ctx, job{spec: spec, src: src, ref: ref}, emit)
	}
	secrets, err := b.lookUp(ctx, spec)
	if err != nil {
		return "", err
	}
	return b.retry(ctx, "build "+spec.ID, origin(spec, ref), emit, func(n *node) (plan.Digest, error) {
		return b.attested(ctx, n, job{spec: spec, src: src, ref: ref, secrets: secrets}, emit)
	})
}

// errChanged returns the error for sources that changed between Identify and Build.
func errChanged(spec plan.BuildSpec, file string) error {
	what := "the build context of " + spec.ID
	if file != "" {
		what = file + " in " + what
	}
	return fmt.Errorf("%s: %w: it changed after the run had looked at it; run again", what, runtime.ErrConflict)
}

// problem returns an error about a declaration in a Pipelinefile, with its position.
func problem(spec plan.BuildSpec, err error, next string) error {
	text := err.Error()
	var at *fs.PathError
	if errors.As(err, &at) && at.Error() == text { // without the name of the system call
		text = at.Path + ": " + at.Err.Error()
	}
	if next != "" {
		text += ": " + next
	}
	if !spec.Pos.IsZero() {
		text = spec.Pos.String() + ": " + text
	}
	return &positioned{text, err}
}

// A positioned is an error whose text includes a position.
type positioned struct {
	text string
	err  error
}

func (e *positioned) Error() string { return e.text }
func (e *positioned) Unwrap() error { return e.err }

// lookUp returns the values of the secrets of spec, by name.
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
