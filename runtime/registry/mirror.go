package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A mirrored describes where an image is kept in this registry, and what remains to be done.
type mirrored struct {
	from   name.Reference // upstream
	digest v1.Hash
	repo   name.Repository // in this registry
	there  bool            // the complete image exists in repo
	tagged bool            // the tag that it has upstream exists in repo, too
	stale  string          // why the last known digest is used, if upstream cannot be reached
	// Where it is read: the first one has it, unless it is there or named by digest.
	sources []name.Reference
	was     v1.Hash // the digest that the tag had when it was last copied, if that is another one
}

// ref is the reference to deploy from.
func (m mirrored) ref() string { return show(m.repo.Digest(m.digest.String())) }

// kept is the tag that protects the image from garbage collection.
func (m mirrored) kept() name.Tag { return m.repo.Tag(m.digest.Hex) }

// moving is the tag that the image has upstream; false if it was named by digest.
func (m mirrored) moving() (name.Tag, bool) {
	tag, ok := m.from.(name.Tag)
	return m.repo.Tag(tag.TagStr()), ok
}

// Mirrored implements [runtime.Registry]. An image that lacks only its upstream tag counts as
// not found, so that the tag is added.
func (r *Registry) Mirrored(ctx context.Context, src string) (ref string, there bool, err error) {
	m, err := r.source(ctx, src, discard)
	if err != nil {
		return "", false, err
	}
	return m.ref(), m.there && m.tagged, nil
}

// Mirror implements [runtime.Registry]. An image named by digest is looked up upstream only
// if it is not mirrored yet. A tag is looked up each time. If upstream cannot be reached, the
// digest that the tag last had is used, with a warning. An image that is already in this
// registry is not copied. Concurrent calls for the same image share the work.
func (r *Registry) Mirror(ctx context.Context, src string, emit runtime.Emit) (ref string, copies bool, err error) {
	c, err := r.mirrors.Do(ctx, src, emit, func(ctx context.Context, emit runtime.Emit) (copied, error) {
		m, err := r.source(ctx, src, emit)
		if err != nil {
			return copied{}, err
		}
		if m.stale != "" {
			emit(runtime.Warned{Diagnostic: plan.Diagnostic{Severity: plan.SeverityWarning, Message: m.stale}})
		}
		if m.was != (v1.Hash{}) {
			emit(runtime.TagMoved{Image: show(m.from), From: plan.Digest(m.was.String()), To: plan.Digest(m.digest.String())})
		}
		if err := r.keepFormer(ctx, m, emit); err != nil {
			return copied{}, fmt.Errorf("mirror image %s: %w", show(m.from), err)
		}
		switch {
		case !m.there:
			err = r.copy(ctx, m, emit)
		case !m.tagged:
			err = r.tag(ctx, m, emit)
		}
		if err != nil {
			return copied{}, err
		}
		return copied{m.ref(), !m.there}, nil
	})
	return c.ref, c.now, err
}

// copied is the result of mirroring an image: its reference in this registry, and whether
// it was not there before.
type copied struct {
	ref string
	now bool
}

// source resolves the image src, and finds out which parts of it are mirrored. For an unchanged
// image this takes two small requests, made concurrently: one for the tag upstream, and one for
// the tag in this registry, which was written when the image was complete.
func (r *Registry) source(ctx context.Context, src string, emit runtime.Emit) (mirrored, error) {
	from, err := r.parse(src)
	if err != nil {
		return mirrored{}, err
	}
	m := mirrored{from: from, tagged: true}
	if r.own(from.Context()) {
		m.repo, m.there = from.Context(), true
		m.digest, err = r.head(ctx, from, emit)
		if err != nil {
			return mirrored{}, r.explain(ctx, from, err)
		}
		return m, nil
	}
	if m.repo, err = r.mirrorOf(from.Context()); err != nil {
		return mirrored{}, err
	}
	moving, isTag := m.moving()
	var tagged v1.Hash // the digest that the tag has in this registry
	if isTag {
		var here error
		var asked sync.WaitGroup
		asked.Go(func() { tagged, here = r.headHere(ctx, moving, emit) })
		f, at, err := r.find(ctx, from, emit)
		asked.Wait()
		if err != nil && !isUnreachable(err) {
			return mirrored{}, r.explainFound(ctx, at, err)
		}
		m.digest, m.sources = f.digest, f.sources
		upstream := err
		if here != nil {
			return mirrored{}, here
		}
		if upstream != nil {
			why := r.explainFound(ctx, at, upstream)
			if tagged == (v1.Hash{}) || ctx.Err() != nil {
				return mirrored{}, why
			}
			m.digest = tagged
			m.stale = fmt.Sprintf("%v: taking %s, which it was when it was last seen", why, tagged)
		}
		if tagged == m.digest {
			m.there = true
			return m, nil
		}
		m.tagged, m.was = false, tagged
	} else if m.digest, err = v1.NewHash(from.Identifier()); err != nil {
		return mirrored{}, fmt.Errorf("image %s: %w", src, err)
	}
	kept, err := r.headHere(ctx, m.kept(), emit)
	if err != nil {
		return mirrored{}, err
	}
	m.there = kept == m.digest
	if m.there || isTag {
		return m, nil
	}
	// Only tags have been looked up upstream so far.
	f, at, err := r.find(ctx, from, emit)
	if err != nil {
		return mirrored{}, r.explainFound(ctx, at, err)
	}
	m.sources = f.sources
	return m, nil
}

// headHere returns the digest at a tag of the mirror, or a zero digest if the tag is not
// found.
func (r *Registry) headHere(ctx context.Context, tag name.Tag, emit runtime.Emit) (v1.Hash, error) {
	digest, err := r.head(ctx, tag, emit)
	if err == nil {
		return digest, nil
	}
	if err := r.explain(ctx, tag, err); !errors.Is(err, runtime.ErrNotFound) {
		return v1.Hash{}, err
	}
	return v1.Hash{}, nil
}

// mirrorOf returns the repository for mirrored images of another one. The separator of the
// port is a character that no host name contains.
func (r *Registry) mirrorOf(from name.Repository) (name.Repository, error) {
	host := strings.ToLower(shownHost(from.RegistryStr()))
	host = strings.NewReplacer("[", "", "]", "", "::", "0_", ":", "_").Replace(host)
	ref, err := r.parse(r.prefix + "/mirror/" + host + "/" + from.RepositoryStr() + ":tag")
	if err != nil {
		return name.Repository{}, fmt.Errorf("image %s has no place in registry %s: %w", from, r.prefix, err)
	}
	return ref.Context(), nil
}
