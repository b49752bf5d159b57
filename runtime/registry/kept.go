package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/plan"
)

// A Kept is an image that is kept in the registry: one that has a tag.
type Kept struct {
	Repository string      // with the host
	Digest     plan.Digest // of its manifest
	Tags       []string    // sorted; without those that pipe writes beside an image
	Size       int64       // of all its manifests and blobs, in bytes; those that images share count for each
	// Made is when pipe wrote it. Zero: it has no note, so somebody else wrote it, or a
	// version of pipe that wrote no notes. It is never removed then.
	Made time.Time

	repo      name.Repository
	manifests []manifest // all of them; that of Digest is the last one
	removing  []string   // tags of a removal that was interrupted
	foreign   string     // a tag that pipe did not write; usually empty
	err       error      // why it could not be read completely
}

// removingSuffix is that of the tag under which an image is while it is removed.
const removingSuffix = ".removing"

// isIdentityTag reports whether pipe gave a tag to an image: an identity, or a digest.
func isIdentityTag(tag string) bool { return plan.Digest("sha256:" + tag).Valid() }

// Kept returns the images that are kept for services and as mirrors, by repository and digest.
// More are repositories that are looked at even if the registry does not list its
// repositories.
func (r *Registry) Kept(ctx context.Context, more []string) ([]*Kept, error) {
	repos, err := r.repositories(ctx, more)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var all []*Kept
	err = inParallel(ctx, repos, func(ctx context.Context, repo name.Repository) error {
		kept, err := r.keptIn(ctx, repo)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, kept...)
		return err
	})
	slices.SortFunc(all, func(a, b *Kept) int {
		return strings.Compare(a.Repository+"@"+string(a.Digest), b.Repository+"@"+string(b.Digest))
	})
	return all, err
}

// repositories returns the repositories with images of services or mirrors. Deeper ones belong
// to those who use another prefix.
func (r *Registry) repositories(ctx context.Context, more []string) ([]name.Repository, error) {
	var names []string
	err := r.try(ctx, discard, "list the repositories of "+r.prefix, func(ctx context.Context, s *session) (err error) {
		names, err = s.puller.Catalog(ctx, r.home.Registry)
		return err
	})
	var answer *transport.Error
	if err != nil && !errors.As(err, &answer) {
		return nil, r.explain(ctx, r.home.Tag("latest"), err)
	} // with an answer, the registry does not list them to everybody
	for _, ref := range more {
		if parsed, err := r.parse(ref); err == nil && parsed.Context().RegistryStr() == r.home.RegistryStr() {
			names = append(names, parsed.Context().RepositoryStr())
		}
	}
	slices.Sort(names)
	below := r.below()
	var repos []name.Repository
	for _, path := range slices.Compact(names) {
		rest, ok := strings.CutPrefix(path, below)
		host, mirrored := strings.CutPrefix(rest, "mirror/")
		host, _, deeper := strings.Cut(host, "/")
		switch {
		case !ok:
		case mirrored && deeper && (strings.ContainsAny(host, "._") || host == "localhost"), !strings.Contains(rest, "/"):
			repos = append(repos, r.home.Registry.Repo(path))
		}
	}
	return repos, nil
}

// keptIn returns the images in one repository.
func (r *Registry) keptIn(ctx context.Context, repo name.Repository) ([]*Kept, error) {
	tags, err := r.tagsOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	var asked []string
	for _, tag := range tags {
		if !strings.HasPrefix(tag, "sha256-") && (!isBeside(tag) || isUnpublished(tag, tags)) {
			asked = append(asked, tag)
		}
	}
	var mu sync.Mutex
	by := map[v1.Hash]*Kept{}
	err = inParallel(ctx, asked, func(ctx context.Context, tag string) error {
		digest, err := r.head(ctx, repo.Tag(tag), discard)
		if isNotFound(err) {
			return nil // removed meanwhile, or damaged
		}
		if err != nil {
			return r.explain(ctx, repo.Tag(tag), err)
		}
		mu.Lock()
		defer mu.Unlock()
		k := by[digest]
		if k == nil {
			k = &Kept{Repository: strings.TrimSuffix(show(repo.Tag(tag)), ":"+tag), Digest: plan.Digest(digest.String()), repo: repo}
			by[digest] = k
		}
		if of, ok := strings.CutSuffix(tag, removingSuffix); ok {
			k.removing = append(k.removing, of)
		} else {
			k.Tags = append(k.Tags, tag)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all []*Kept
	for _, k := range by {
		slices.Sort(k.Tags)
		slices.Sort(k.removing)
		all = append(all, k)
	}
	return all, inParallel(ctx, all, func(ctx context.Context, k *Kept) error { return r.readKept(ctx, k, tags) })
}

// readKept reads the note and the manifests of an image. all are the tags of its repository.
func (r *Registry) readKept(ctx context.Context, k *Kept, all []string) error {
	mirror := strings.HasPrefix(k.repo.RepositoryStr(), r.below()+"mirror/")
	for _, tag := range slices.Concat(k.Tags, k.removing) {
		tag = strings.TrimSuffix(tag, provenanceSuffix)
		if !isIdentityTag(tag) || !slices.Contains(all, tag+noteSuffix) {
			if !mirror { // the other tags of a mirrored image are those that it has upstream
				k.foreign = tag
			}
			continue
		}
		noted, err := r.readAnnotated(ctx, k.repo.Tag(tag+noteSuffix))
		if err != nil {
			return r.explain(ctx, k.repo.Tag(tag+noteSuffix), err)
		}
		// The last note counts, if an image has several identities.
		if at, err := time.Parse(time.RFC3339, noted[noteAt]); err == nil && at.After(k.Made) {
			k.Made = at
		}
	}
	digest, err := v1.NewHash(string(k.Digest))
	if err != nil {
		return err
	}
	c := &copier{registry: r, from: k.repo, emit: discard, image: k.Repository}
	parts := &reading{copier: c, at: map[v1.Hash]int{}, seen: map[v1.Hash]bool{}}
	if err := parts.visit(ctx, digest); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k.err = fmt.Errorf("it cannot be read: %w", r.explain(ctx, k.repo.Digest(digest.String()), err))
	}
	k.manifests = parts.manifests
	for _, m := range parts.manifests {
		k.Size += int64(len(m.raw))
	}
	for _, b := range parts.blobs {
		k.Size += b.Size
	}
	return nil
}

// Ref returns the reference to the image by its digest.
func (k *Kept) Ref() string { return k.Repository + "@" + string(k.Digest) }
