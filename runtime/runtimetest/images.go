package runtimetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

var (
	_ runtime.Registry = (*Registry)(nil)
	_ runtime.Builder  = (*Builder)(nil)
)

// A Registry keeps the digests of images, which do not exist.
type Registry struct {
	world *World

	mu       sync.Mutex
	images   map[string]plan.Digest // by reference, with a tag and with a digest
	upstream map[string]plan.Digest // images of other registries

	claims claims
}

// host is the registry's name in references.
const host = "registry.test"

// Ref implements [runtime.Registry].
func (r *Registry) Ref(service string, identity plan.Digest) string {
	return fmt.Sprintf("%s/%s:%.16s", host, service, strings.TrimPrefix(string(identity), "sha256:"))
}

// Resolve implements [runtime.Registry].
func (r *Registry) Resolve(ctx context.Context, ref string) (plan.Digest, error) {
	if err := r.world.step(ctx, "Registry.Resolve", ref); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, images := range []map[string]plan.Digest{r.images, r.upstream} {
		if digest, ok := images[ref]; ok {
			return digest, nil
		}
	}
	return "", fmt.Errorf("image %s: %w", ref, runtime.ErrNotFound)
}

// Mirrored implements [runtime.Registry].
func (r *Registry) Mirrored(ctx context.Context, src string) (string, bool, error) {
	if err := r.world.step(ctx, "Registry.Mirrored", src); err != nil {
		return "", false, err
	}
	return r.mirrored(src)
}

func (r *Registry) mirrored(src string) (string, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	digest, ok := r.upstream[src]
	if !ok {
		return "", false, fmt.Errorf("image %s: %w", src, runtime.ErrNotFound)
	}
	ref := runtime.ByDigest(host+"/mirror/"+src, digest)
	_, there := r.images[ref]
	return ref, there, nil
}

// Mirror implements [runtime.Registry].
func (r *Registry) Mirror(ctx context.Context, src string, emit runtime.Emit) (string, bool, error) {
	if err := r.world.step(ctx, "Registry.Mirror", src); err != nil {
		return "", false, err
	}
	ref, there, err := r.mirrored(src)
	if err != nil || there {
		return ref, false, err
	}
	emit(runtime.Transfer{Image: src, Bytes: 1, Of: 2})
	if err := r.world.work(ctx, "Registry.Mirror", src); err != nil {
		return "", false, err
	}
	if err := r.world.step(ctx, "Registry.Mirror push", src); err != nil {
		return "", false, err
	}
	r.put(ref, plan.Digest(ref[strings.IndexByte(ref, '@')+1:]))
	return ref, true, nil
}

// Push adds an image at ref, as another tool would.
func (r *Registry) Push(ref string, digest plan.Digest) { r.put(ref, digest) }

// Upstream adds an image at src to another registry.
func (r *Registry) Upstream(src string, digest plan.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.upstream[src] = digest
	r.upstream[runtime.ByDigest(src, digest)] = digest
}

// Forget removes all images, like a registry that loses its disk.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.images)
}

func (r *Registry) put(ref string, digest plan.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[ref] = digest
	r.images[runtime.ByDigest(ref, digest)] = digest
}

// has reports whether ref can be pulled.
func (r *Registry) has(ref string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.images[ref] != "" || r.upstream[ref] != ""
}

// A Builder computes digests of build specifications.
type Builder struct {
	world *World

	mu       sync.Mutex
	sources  map[string]string
	branches []string                 // git, NUL, branch
	runs     map[plan.Digest][]string // run images, by the builder image that names them
	commits  map[string]string        // by git, NUL, ref
}

// SetSource sets the content of the source at path: other content results in another
// identity.
func (b *Builder) SetSource(path, content string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sources[path] = content
}

// Identify implements [runtime.Builder].
func (b *Builder) Identify(ctx context.Context, spec plan.BuildSpec) (plan.Digest, error) {
	if err := b.world.step(ctx, "Builder.Identify", spec.ID); err != nil {
		return "", err
	}
	return b.identity(spec)
}

func (b *Builder) identity(spec plan.BuildSpec) (plan.Digest, error) {
	b.mu.Lock()
	content := b.sources[spec.Source.Path]
	b.mu.Unlock()
	// The name and the position are not part of the identity.
	spec.ID, spec.Pos = "", plan.Pos{}
	if spec.Source.Commit != "" {
		spec.Source.Ref = "" // only what it names counts
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	for _, arg := range slices.Sorted(maps.Keys(spec.Bases)) {
		data = fmt.Append(data, arg, spec.Bases[arg].Identity)
	}
	return plan.DigestOf(append(data, content...)), nil
}

// SetRunImages sets the run images that a builder image names, which is named by its digest.
func (b *Builder) SetRunImages(digest plan.Digest, names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.runs == nil {
		b.runs = make(map[plan.Digest][]string)
	}
	b.runs[digest] = names
}

// RunImages implements [runtime.Builder].
func (b *Builder) RunImages(ctx context.Context, spec plan.BuildSpec) ([]string, error) {
	if err := b.world.step(ctx, "Builder.RunImages", spec.ID); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _, digest := plan.CutImage(spec.Bases[plan.BuildpackBuilder].Ref)
	if names := b.runs[plan.Digest(digest)]; len(names) > 0 {
		return names, nil
	}
	return nil, fmt.Errorf("%s names no run image", digest)
}

// SetBranch adds a branch to a git repository.
func (b *Builder) SetBranch(git, branch string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.branches = append(b.branches, git+"\x00"+branch)
}

// HasBranch implements [runtime.Builder].
func (b *Builder) HasBranch(ctx context.Context, git, branch string) (bool, error) {
	if err := b.world.step(ctx, "Builder.HasBranch", git); err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.branches, git+"\x00"+branch), nil
}

// SetCommit sets the commit that a ref of a git repository names; by default it is made
// of the repository and the ref.
func (b *Builder) SetCommit(git, ref, commit string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.commits == nil {
		b.commits = make(map[string]string)
	}
	b.commits[git+"\x00"+ref] = commit
}

// Commit implements [runtime.Builder].
func (b *Builder) Commit(ctx context.Context, git, ref string) (string, error) {
	if err := b.world.step(ctx, "Builder.Commit", git); err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if commit := b.commits[git+"\x00"+ref]; commit != "" {
		return commit, nil
	}
	_, hex, _ := strings.Cut(string(plan.DigestOf([]byte(git+"\x00"+ref))), ":")
	return hex[:40], nil
}

// BrokenDockerfile is the name of a Dockerfile whose build fails.
const BrokenDockerfile = "broken"

// Build implements [runtime.Builder].
func (b *Builder) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (plan.Digest, error) {
	if err := b.world.step(ctx, "Builder.Build", spec.ID); err != nil {
		return "", err
	}
	emit(runtime.BuildStep{ID: "1", Name: "RUN make", Started: true})
	if err := b.world.work(ctx, "Builder.Build", spec.ID); err != nil {
		return "", err
	}
	if spec.Dockerfile == BrokenDockerfile {
		emit(runtime.Log{Source: "RUN make", Text: "it breaks here"})
		return "", &runtime.BuildError{Step: "RUN make", Log: []string{"it breaks here"}, Err: fmt.Errorf("exit status 2")}
	}
	identity, err := b.identity(spec)
	if err != nil {
		return "", err
	}
	if err := b.world.step(ctx, "Builder.Build push", spec.ID); err != nil {
		return "", err
	}
	emit(runtime.BuildStep{ID: "1", Name: "RUN make", Done: true})
	digest := plan.DigestOf([]byte("image of " + identity))
	b.world.Registry.put(ref, digest)
	return digest, nil
}
