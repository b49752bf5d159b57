package registry

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Pull returns the image at a reference of any registry, from where it is read (I8). Its content is read
// when it is used, within ctx.
func (r *Registry) Pull(ctx context.Context, ref string) (*remote.Descriptor, error) {
	image, err := r.parse(ref)
	if err != nil {
		return nil, err
	}
	_, found, at, err := inPlaces(ctx, r, image, func(from name.Reference) (*remote.Descriptor, error) { return r.get(ctx, from, discard) })
	if err != nil {
		return nil, fmt.Errorf("read the image %s: %w", show(image), r.explainFound(ctx, at, err))
	}
	return found, nil
}

// Push stores an image of this machine at a reference of this registry, and returns its digest. The
// tag is written last, so the image is not found until it is complete. What the registry has already
// is not sent again.
func (r *Registry) Push(ctx context.Context, ref string, image remote.Taggable, emit runtime.Emit) (plan.Digest, error) {
	to, err := r.parse(ref)
	if err != nil {
		return "", err
	}
	raw, err := image.RawManifest()
	if err != nil {
		return "", fmt.Errorf("push the image to %s: %w", show(to), err)
	}
	err = r.write(ctx, "push "+show(to), emit, func(ctx context.Context, p *remote.Pusher) error { return p.Push(ctx, to, image) })
	if err != nil {
		return "", fmt.Errorf("push the image to %s: %w", show(to), r.explain(ctx, to, err))
	}
	return plan.DigestOf(raw), nil
}

// SetAside gives an image, which is named by digest, a tag that is made of its digest, as mirrored
// images have, so that it is kept after its former tag has moved: releases may name it.
func (r *Registry) SetAside(ctx context.Context, ref string) error {
	image, err := r.parse(ref)
	if err != nil {
		return err
	}
	m, err := r.manifest(ctx, image, discard)
	if err != nil {
		return r.explain(ctx, image, err)
	}
	tag := image.Context().Tag(m.desc.Digest.Hex)
	if err := r.Note(ctx, tag.Name(), Made{}); err != nil {
		return err
	}
	if err := r.write(ctx, "tag "+show(tag), discard, func(ctx context.Context, p *remote.Pusher) error { return p.Put(ctx, tag, m) }); err != nil {
		return r.explain(ctx, tag, err)
	}
	return nil
}

// get reads what is at a reference.
func (r *Registry) get(ctx context.Context, ref name.Reference, emit runtime.Emit) (found *remote.Descriptor, err error) {
	err = r.try(ctx, emit, "read "+show(ref), func(ctx context.Context, s *session) error {
		found, err = s.puller.Get(ctx, ref)
		return err
	})
	return found, err
}

// write calls do with a new pusher: one that has uploaded something does not upload it again. what
// is being done is for events.
func (r *Registry) write(ctx context.Context, what string, emit runtime.Emit, do func(context.Context, *remote.Pusher) error) error {
	return r.try(ctx, emit, what, func(ctx context.Context, _ *session) error {
		pusher, err := remote.NewPusher(r.options()...)
		if err != nil {
			return err
		}
		return do(ctx, pusher)
	})
}
