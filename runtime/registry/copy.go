package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/runtime"
)

// parallel is how many parts of one image are copied concurrently.
const parallel = 4

// copy copies all of m, with its signatures and everything else that refers to it. It writes
// its tags last, so the image is not found until the copy is complete. An interrupted copy
// can be resumed by calling copy again.
func (r *Registry) copy(ctx context.Context, m mirrored, emit runtime.Emit) (err error) {
	// Without a note the image is never pruned, but it can be copied.
	noted := make(chan struct{})
	go func() {
		defer close(noted)
		_ = r.Note(ctx, m.kept().String(), Made{})
	}()
	defer func() { <-noted }()
	image := show(m.from)
	for i, source := range m.sources {
		c := &copier{registry: r, from: source.Context(), to: m.repo, emit: emit, image: image}
		err = r.copyFrom(ctx, c, m)
		var upstream *upstreamError
		if !errors.As(err, &upstream) || ctx.Err() != nil || i == len(m.sources)-1 {
			break
		}
		emit(runtime.Retried{What: "copy " + image + " from " + show(m.sources[i+1]), Error: sentence(err), Again: i + 1})
	}
	var upstream *upstreamError
	if errors.As(err, &upstream) && upstream.listing {
		return fmt.Errorf("mirror image %s: %w", image, r.unlisted(ctx, upstream.ref, err))
	}
	if errors.As(err, &upstream) {
		return fmt.Errorf("mirror image %s: %w", image, r.explain(ctx, upstream.ref, err))
	}
	if err != nil {
		return fmt.Errorf("mirror image %s: %w", image, r.explain(ctx, m.kept(), err))
	}
	return nil
}

// copyFrom copies all of m from one place.
func (r *Registry) copyFrom(ctx context.Context, c *copier, m mirrored) error {
	err := c.copy(ctx, m)
	var answer *transport.Error
	if errors.As(err, &answer) && lost(answer) {
		// A part that existed when it was checked was removed in the meantime.
		r.forgetBlobs()
		return c.copy(ctx, m)
	}
	if err != nil {
		return err
	}
	// An existing part may be damaged. The embedded registry detects that when the image is
	// complete, and removes the damaged part.
	kept, err := r.head(ctx, m.kept(), c.emit)
	if err != nil && !isNotFound(err) {
		return err
	}
	if kept != m.digest {
		c.emit(runtime.Retried{What: "copy " + c.image, Error: "a part of it in the registry was damaged", Again: 1})
		r.forgetBlobs()
		return c.copy(ctx, m)
	}
	return nil
}

// lost reports whether an image was rejected because one of its parts is missing.
func lost(answer *transport.Error) bool {
	for _, e := range answer.Errors {
		switch e.Code {
		case transport.ManifestBlobUnknownErrorCode, transport.BlobUnknownErrorCode:
			return true
		}
	}
	return false
}

// tag gives the image, which is in the mirror, the tag that it has upstream.
func (r *Registry) tag(ctx context.Context, m mirrored, emit runtime.Emit) error {
	tag, ok := m.moving()
	if !ok {
		return nil
	}
	root, err := r.manifest(ctx, m.kept(), emit)
	if err == nil {
		err = r.write(ctx, "tag "+show(tag), emit, func(ctx context.Context, p *remote.Pusher) error { return p.Put(ctx, tag, root) })
	}
	if err != nil {
		return fmt.Errorf("mirror image %s: %w", show(m.from), r.explain(ctx, tag, err))
	}
	return nil
}

// keepFormer keeps the image that the tag of m has had, which loses the tag. It has another tag
// already, unless a process was killed between the two.
func (r *Registry) keepFormer(ctx context.Context, m mirrored, emit runtime.Emit) error {
	if m.was == (v1.Hash{}) {
		return nil
	}
	kept, err := r.headHere(ctx, m.repo.Tag(m.was.Hex), emit)
	if err != nil || kept == m.was {
		return err
	}
	return r.SetAside(ctx, show(m.repo.Digest(m.was.String())))
}

// A copier copies one image.
type copier struct {
	registry *Registry
	from, to name.Repository
	emit     runtime.Emit
	image    string
	transfer *transfer
}

// A manifest is the manifest of an image or an index, as it was read.
type manifest struct {
	ref  name.Reference // where it was read
	desc v1.Descriptor
	raw  []byte

	subject v1.Hash  // what it refers to, as a signature does; usually zero
	tags    []string // to write it under; if empty, it is written by digest
}

// manifest reads the manifest at a reference.
func (r *Registry) manifest(ctx context.Context, ref name.Reference, emit runtime.Emit) (manifest, error) {
	found, err := r.get(ctx, ref, emit)
	if err != nil {
		return manifest{}, err
	}
	return manifest{ref: ref, desc: found.Descriptor, raw: found.Manifest}, nil
}

// RawManifest implements [remote.Taggable].
func (m manifest) RawManifest() ([]byte, error) { return m.raw, nil }

// MediaType returns the type that the manifest was served with.
func (m manifest) MediaType() (types.MediaType, error) { return m.desc.MediaType, nil }

// An upstreamError is an error of the registry that an image is copied from.
type upstreamError struct {
	ref     name.Reference // what was read: a manifest or a blob
	err     error
	listing bool // the request was for the list of what refers to ref
	final   bool // it has been retried
}

func (e *upstreamError) Error() string { return e.err.Error() }

func (e *upstreamError) Unwrap() error { return e.err }

// A manifestError says that an answer is not a manifest.
type manifestError struct{ error }

func (e *manifestError) Error() string {
	return "it answers with something that is not a manifest: " + e.error.Error() + ": check its address"
}

func (e *manifestError) Unwrap() error { return e.error }

func (c *copier) copy(ctx context.Context, m mirrored) error {
	// A pusher does not upload again what it has uploaded before, so create a new one.
	pusher, err := remote.NewPusher(c.registry.options()...)
	if err != nil {
		return err
	}
	all := &reading{copier: c, at: map[v1.Hash]int{}, seen: map[v1.Hash]bool{}}
	var tags map[string]bool
	var unlisted error
	listing, stop := context.WithCancel(ctx)
	var listed sync.WaitGroup
	listed.Go(func() { tags, unlisted = c.tags(listing, m.digest) })
	if err = all.visit(ctx, m.digest); err != nil {
		stop()
	}
	listed.Wait()
	stop()
	if err = cmp.Or(err, unlisted); err != nil {
		return err
	}
	root := len(all.manifests) - 1
	if err := all.attached(ctx, tags); err != nil {
		return err
	}
	c.transfer = newTransfer(c.image, all.blobs, c.emit)
	if err := inParallel(ctx, all.blobs, c.blob); err != nil {
		return err
	}
	for i, one := range all.manifests { // an index comes after the manifests that it lists
		if i == root {
			continue
		}
		if err := c.put(ctx, pusher, one); err != nil {
			return err
		}
	}
	last := all.manifests[root]
	last.tags = append(last.tags, m.kept().TagStr())
	if tag, ok := m.moving(); ok {
		last.tags = append(last.tags, tag.TagStr())
	}
	if err := c.put(ctx, pusher, last); err != nil {
		return err
	}
	c.transfer.end()
	return nil
}

// put writes a manifest, concurrently under its tags if it has any. If the registry does not list
// the referrers of an image itself, the library maintains the list under a tag, which is not safe
// to do concurrently.
func (c *copier) put(ctx context.Context, pusher *remote.Pusher, m manifest) error {
	if m.subject != (v1.Hash{}) {
		done, err := c.registry.turn(ctx, m.subject)
		if err != nil {
			return err
		}
		defer done()
	}
	refs := []name.Reference{c.to.Digest(m.desc.Digest.String())}
	if len(m.tags) > 0 {
		refs = nil
	}
	for _, tag := range m.tags {
		refs = append(refs, c.to.Tag(tag))
	}
	put := func(ctx context.Context, to name.Reference) error {
		return c.registry.try(ctx, c.emit, "write "+show(to), func(ctx context.Context, _ *session) error { return pusher.Put(ctx, to, m) })
	}
	if m.subject == (v1.Hash{}) {
		return inParallel(ctx, refs, put)
	}
	for _, to := range refs {
		if err := put(ctx, to); err != nil {
			return err
		}
	}
	return nil
}

// inParallel calls do for each element, a few concurrently. The first error cancels the other
// calls and is returned after all of them have ended.
func inParallel[T any](ctx context.Context, all []T, do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, one := range all {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			if err := do(ctx, one); err != nil {
				cancel(err)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// A reading contains what was read of an image: its manifests, each index after the manifests
// that it lists, and its blobs, each once.
type reading struct {
	*copier
	manifests []manifest
	blobs     []v1.Descriptor
	at        map[v1.Hash]int // in manifests
	seen      map[v1.Hash]bool
}

func (r *reading) add(d v1.Descriptor) {
	if !r.seen[d.Digest] && d.MediaType.IsDistributable() {
		r.seen[d.Digest] = true
		r.blobs = append(r.blobs, d)
	}
}

// visit reads a manifest and the manifests that it lists.
func (r *reading) visit(ctx context.Context, digest v1.Hash) error {
	if r.seen[digest] {
		return nil
	}
	r.seen[digest] = true
	m, err := r.get(ctx, digest)
	if err != nil {
		return err
	}
	var subject *v1.Descriptor
	switch t := m.desc.MediaType; {
	case t.IsIndex():
		index, err := v1.ParseIndexManifest(bytes.NewReader(m.raw))
		if err != nil {
			return &upstreamError{ref: m.ref, err: &manifestError{err}}
		}
		for _, child := range index.Manifests {
			if !child.MediaType.IsIndex() && !child.MediaType.IsImage() {
				r.add(child)
			} else if err := r.visit(ctx, child.Digest); err != nil {
				return err
			}
		}
		subject = index.Subject
	case t.IsSchema1():
		return &upstreamError{ref: m.ref, err: errors.New("its format is that of 2015, schema 1, which nodes do not run: push it again with a newer tool")}
	default:
		image, err := v1.ParseManifest(bytes.NewReader(m.raw))
		if err != nil {
			return &upstreamError{ref: m.ref, err: &manifestError{err}}
		}
		if image.Config.Digest != (v1.Hash{}) {
			r.add(image.Config)
		}
		for _, layer := range image.Layers {
			r.add(layer)
		}
		subject = image.Subject
	}
	if subject != nil {
		m.subject = subject.Digest
	}
	r.at[digest] = len(r.manifests)
	r.manifests = append(r.manifests, m)
	return nil
}

// get reads one manifest upstream.
func (c *copier) get(ctx context.Context, digest v1.Hash) (manifest, error) {
	ref := c.from.Digest(digest.String())
	m, err := c.registry.manifest(ctx, ref, c.emit)
	if err != nil {
		return manifest{}, &upstreamError{ref: ref, err: err}
	}
	return m, nil
}

// blob copies one part of an image, unless it exists. A blob that exists in another
// repository of this registry is mounted from there.
func (c *copier) blob(ctx context.Context, desc v1.Descriptor) error {
	done, err := c.registry.turn(ctx, desc.Digest)
	if err != nil {
		return err
	}
	defer done()
	select {
	case c.registry.streams <- struct{}{}:
		defer func() { <-c.registry.streams }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	u := &upload{copier: c, what: fmt.Sprintf("copy %s of %s", desc.Digest, c.image), desc: desc}
	if home, ok := c.registry.blobHome(desc.Digest); ok && home != c.to {
		u.mount = home
	} else if c.from.RegistryStr() == c.to.RegistryStr() {
		u.mount = c.from
	}
	if err := u.do(ctx); err != nil {
		return err
	}
	c.registry.keepBlob(desc.Digest, c.to)
	c.transfer.set(desc.Digest, desc.Size)
	return nil
}

// turn waits until no other copy is writing the blob. The blob then exists, or can be mounted
// from another repository.
func (r *Registry) turn(ctx context.Context, digest v1.Hash) (done func(), err error) {
	r.mu.Lock()
	turn := r.turns[digest]
	if turn == nil {
		turn = make(chan struct{}, 1)
		r.turns[digest] = turn
	}
	r.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *Registry) blobHome(digest v1.Hash) (name.Repository, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	home, ok := r.blobs[digest]
	return home, ok
}

func (r *Registry) keepBlob(digest v1.Hash, home name.Repository) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[digest] = home
}

func (r *Registry) forgetBlobs() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.blobs)
}

var _ remote.Taggable = manifest{}
