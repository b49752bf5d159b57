// Package registry keeps the images that releases are deployed from, in any OCI registry.
//
// Images of a pipeline's own builds are at PREFIX/SERVICE:IDENTITY. Images from other
// registries are mirrored to PREFIX/mirror/HOST/REPOSITORY, under two tags: the one that they
// have upstream, which moves, and one made of their digest, which does not. So none is
// garbage-collected, and all can be found. Their signatures, and everything else that refers
// to them, are copied with them.
package registry

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/flight"
)

// Options configure a Registry.
type Options struct {
	// Prefix is the registry with an optional path, such as "127.0.0.1:5000" or
	// "ghcr.io/acme/shop".
	Prefix string
	// PlainHTTP are hosts, with their ports if any, that are accessed without TLS. Registries
	// on loopback always are. All others always use TLS.
	PlainHTTP []string
	// Password, if set, returns the user name and the password for writes to the registry of
	// Prefix. It is called for each write.
	Password func() (user, password string, err error)
	// Registries is a registries.conf, which says which registries are read from elsewhere. It
	// may be missing; a mistake in it is an error of the images of other registries.
	Registries string
	// Keychain provides the credentials. Default: those of "docker login", through Docker's
	// credential helpers.
	Keychain authn.Keychain
	// Notice, if set, receives the warnings in answers of the registry of Prefix, each
	// warning once.
	Notice func(string)
	// Shared says that builders of several machines may push to the registry of Prefix, so
	// that builds must be claimed (I2).
	Shared bool
	// Locks, if set, is a directory in which processes of this machine claim builds by locks of
	// files, if the builders of this machine alone push to the registry of Prefix.
	Locks string
	// Log, if set, is the log file of the registry of Prefix, if pipe runs that itself. Error
	// messages mention it.
	Log string
}

// A Registry is the mirroring registry of a pipeline. It is safe for concurrent use. A
// long-lived one reuses its connections.
type Registry struct {
	prefix string

	registries string          // the path of registries.conf; may be empty
	home       name.Repository // a repository in the prefix, for comparing
	log        string          // log file of the registry itself; usually empty
	wire       *wire
	keys       *keychain
	mirrors    flight.Group[copied] // by reference upstream
	shared     bool
	locks      string        // a directory; may be empty
	wait       time.Duration // before the first retry

	mu      sync.Mutex
	session *session                    // guarded by mu; nil until it is needed
	blobs   map[v1.Hash]name.Repository // guarded by mu; a repository of this registry that has the blob
	turns   map[v1.Hash]chan struct{}   // guarded by mu; see turn
	configs map[name.Repository]bool    // guarded by mu; those that have the config of empty images

	streams chan struct{} // held while a blob is transferred

	claimTime time.Duration
	sightings map[name.Tag]sighting // of the claims of other processes; guarded by mu
}

var _ runtime.Registry = (*Registry)(nil)

// New returns the registry of o. It does not connect to it.
func New(o Options) (*Registry, error) {
	r := &Registry{
		prefix: strings.TrimSuffix(o.Prefix, "/"),

		registries: o.Registries,

		wire:   newWire(o.PlainHTTP),
		keys:   newKeychain(o.Keychain),
		wait:   firstWait,
		log:    o.Log,
		shared: o.Shared,
		locks:  o.Locks,
		blobs:  map[v1.Hash]name.Repository{},
		turns:  map[v1.Hash]chan struct{}{},

		configs: map[name.Repository]bool{},

		streams: make(chan struct{}, streams),

		claimTime: claimTime,
		sightings: map[name.Tag]sighting{},
	}
	if held := redact.Credentials(r.prefix); held != "" {
		return nil, fmt.Errorf("registry %q: it has %s in it: remove it, and log in: docker login HOST", redact.URLs(o.Prefix), held)
	}
	if scheme, _, ok := strings.Cut(r.prefix, "://"); ok {
		return nil, fmt.Errorf("registry %q: leave %s:// out", redact.URLs(o.Prefix), scheme)
	}
	if !strings.ContainsAny(r.prefix, ".:/") && r.prefix != "localhost" {
		return nil, fmt.Errorf("registry %q: not the name of a host", o.Prefix)
	}
	if strings.Contains(r.prefix, "//") {
		return nil, fmt.Errorf("registry %q: a part of its path is empty", o.Prefix)
	}
	ref, err := r.parse(r.prefix + "/any:tag")
	if err != nil {
		return nil, fmt.Errorf("registry %q: %w", redact.URLs(o.Prefix), err)
	}
	r.home = ref.Context()
	if o.Password != nil {
		r.wire.writes = map[string]func() (string, string, error){r.home.RegistryStr(): o.Password}
	}
	if o.Notice != nil {
		r.wire.inner = &listener{inner: r.wire.inner, host: r.home.RegistryStr(), notice: o.Notice, heard: map[string]bool{}}
	}
	return r, nil
}

// Ref implements [runtime.Registry]. The tag is the identity without the name of its
// algorithm, because registries give "sha256-…" another meaning.
func (r *Registry) Ref(service string, identity plan.Digest) string {
	_, tag, ok := strings.Cut(string(identity), ":")
	if !ok || !plan.IsTag(tag) {
		_, tag, _ = strings.Cut(string(plan.DigestOf([]byte(identity))), ":")
	}
	return r.prefix + "/" + service + ":" + tag
}

// Resolve implements [runtime.Registry]. It can resolve images of any registry, with the same
// credentials.
func (r *Registry) Resolve(ctx context.Context, ref string) (plan.Digest, error) {
	parsed, err := r.parse(ref)
	if err != nil {
		return "", err
	}
	f, at, err := r.find(ctx, parsed, discard)
	if err != nil {
		return "", r.explainFound(ctx, at, err)
	}
	return plan.Digest(f.digest.String()), nil
}

func discard(runtime.Body) {}

// parse parses a reference like Docker: "redis" is docker.io/library/redis:latest.
func (r *Registry) parse(ref string) (name.Reference, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%q is not an image reference: write one such as ghcr.io/acme/web:1.2, in lower-case letters and without https://", redact.URLs(ref))
	}
	return parsed, nil
}

// parseDigest returns the parts of a reference that names an image by its digest.
func (r *Registry) parseDigest(ref string) (name.Reference, v1.Hash, error) {
	image, err := r.parse(ref)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	digest, err := v1.NewHash(image.Identifier())
	if err != nil {
		return nil, v1.Hash{}, fmt.Errorf("image %s is not named by its digest", show(image))
	}
	return image, digest, nil
}

// below returns what the paths of the repositories in the prefix of this registry begin with.
func (r *Registry) below() string { return strings.TrimSuffix(r.home.RepositoryStr(), "any") }

// Keeps reports whether an image is one of those that are in the prefix of this registry.
func (r *Registry) Keeps(ref string) bool {
	parsed, err := r.parse(ref)
	return err == nil && r.own(parsed.Context())
}

// own reports whether a repository is in the prefix of this registry.
func (r *Registry) own(repo name.Repository) bool {
	return repo.RegistryStr() == r.home.RegistryStr() &&
		strings.HasPrefix(repo.RepositoryStr()+"/", r.below())
}
