package local

import (
	"context"
	"encoding/json"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A warm caches, between the runs of watch mode, results of reading
// sources or querying a registry. It caches only successful results, never errors.
type warm struct {
	mu         sync.Mutex
	identities map[string]identified  // by specification
	commits    map[string]string      // by git repository and ref
	resolved   map[string]plan.Digest // by reference
	mirrored   map[string]string      // by upstream image: the reference to deploy
	epoch      int                    // counts invalidations
	began      time.Time              // when the maps were made
}

// warmTime is how long answers of a registry are kept: what is in it may be pruned (I6). Those
// of git repositories are kept as long.
const warmTime = 30 * time.Minute

// An identified is a specification with the identity of its image.
type identified struct {
	spec   plan.BuildSpec
	digest plan.Digest
}

func newWarm() *warm {
	w := &warm{}
	w.changed(nil)
	return w
}

// changed invalidates results that may have changed.
func (w *warm) changed(paths []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch++
	if paths == nil || time.Since(w.began) > warmTime {
		w.began = time.Now()
		w.identities, w.resolved, w.mirrored = make(map[string]identified), make(map[string]plan.Digest), make(map[string]string)
		w.commits = make(map[string]string)
		return
	}
	for key, known := range w.identities {
		for _, p := range paths {
			if reads(known.spec, p) {
				delete(w.identities, key)
				break
			}
		}
	}
}

// reads reports whether a build reads a path of the workspace.
func reads(spec plan.BuildSpec, p string) bool {
	if spec.Source.Git != "" {
		return false
	}
	context, dockerfile := path.Join(spec.Source.Path, spec.Context), path.Join(spec.Source.Path, spec.Dockerfile)
	return context == "." || p == context || strings.HasPrefix(p, context+"/") || p == dockerfile || p == dockerfile+".dockerignore"
}

// keep returns the cached result for key, or calls ask. A result is not cached if
// something was invalidated meanwhile.
func keep[T any](w *warm, known func() map[string]T, key string, ask func() (T, bool, error)) (T, error) {
	w.mu.Lock()
	answer, ok := known()[key]
	epoch := w.epoch
	w.mu.Unlock()
	if ok {
		return answer, nil
	}
	answer, lasting, err := ask()
	if err == nil && lasting {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.epoch == epoch {
			known()[key] = answer
		}
	}
	return answer, err
}

// A warmBuilder identifies a source again only if it has changed.
type warmBuilder struct {
	runtime.Builder
	warm *warm
}

// Identify implements [runtime.Builder].
func (b warmBuilder) Identify(ctx context.Context, spec plan.BuildSpec) (plan.Digest, error) {
	bare := spec
	bare.ID, bare.Pos = "", plan.Pos{}
	key, err := json.Marshal(bare)
	if err != nil {
		return "", err
	}
	known, err := keep(b.warm, func() map[string]identified { return b.warm.identities }, string(key), func() (identified, bool, error) {
		digest, err := b.Builder.Identify(ctx, spec)
		return identified{spec, digest}, true, err
	})
	return known.digest, err
}

// Build implements [runtime.Builder]. The tag may have named another image before, such as one that
// was not signed (I15).
func (b warmBuilder) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (plan.Digest, error) {
	digest, err := b.Builder.Build(ctx, spec, ref, emit)
	b.warm.mu.Lock()
	defer b.warm.mu.Unlock()
	delete(b.warm.resolved, ref)
	return digest, err
}

// Commit implements [runtime.Builder].
func (b warmBuilder) Commit(ctx context.Context, git, ref string) (string, error) {
	return keep(b.warm, func() map[string]string { return b.warm.commits }, git+"\x00"+ref, func() (string, bool, error) {
		commit, err := b.Builder.Commit(ctx, git, ref)
		return commit, true, err
	})
}

// A warmRegistry does not query existing images again.
type warmRegistry struct {
	runtime.Registry
	warm *warm
}

// Resolve implements [runtime.Registry].
func (r warmRegistry) Resolve(ctx context.Context, ref string) (plan.Digest, error) {
	return keep(r.warm, func() map[string]plan.Digest { return r.warm.resolved }, ref, func() (plan.Digest, bool, error) {
		digest, err := r.Registry.Resolve(ctx, ref)
		return digest, true, err
	})
}

// Mirrored implements [runtime.Registry].
func (r warmRegistry) Mirrored(ctx context.Context, src string) (ref string, there bool, err error) {
	there = true
	ref, err = keep(r.warm, func() map[string]string { return r.warm.mirrored }, src, func() (string, bool, error) {
		var ref string
		ref, there, err = r.Registry.Mirrored(ctx, src)
		return ref, there, err
	})
	return ref, there, err
}
