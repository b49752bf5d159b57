package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// Needs say which images are needed, and for whom, such as "environment staging of pipeline
// shop".
type Needs struct {
	Digests map[plan.Digest][]string // in any repository
	Tags    map[string][]string      // of images that are not named by digest, in any repository
	// Runs are the runs that are in progress, each with something that changes while its
	// process lives. A run that is not there any more has recorded what it needs.
	Runs map[string]string
}

// PruneOptions configure [Registry.Prune].
type PruneOptions struct {
	// Needs returns what is needed now. It must determine the runs before the images. An
	// error means that it is not known, and nothing is removed.
	Needs func(context.Context) (Needs, error)
	// OlderThan keeps images that were made later.
	OlderThan time.Duration
	// Waiting, if set, is called with the runs in progress that are waited for.
	Waiting func(runs []string)
}

// A NoDeleteError says that a registry does not delete.
type NoDeleteError struct {
	Host   string
	Status int // of its answer
}

func (e *NoDeleteError) Error() string {
	return fmt.Sprintf("registry %s does not delete images: it answers %d %s; remove them with its own tools", e.Host, e.Status, http.StatusText(e.Status))
}

// Why returns why an image is kept, and for whom if that is the reason; "" if it may be
// removed.
func (k *Kept) Why(needs Needs, olderThan time.Duration) (why string, who []string) {
	for _, m := range k.manifests {
		who = append(who, needs.Digests[plan.Digest(m.desc.Digest.String())]...)
	}
	who = append(who, needs.Digests[k.Digest]...)
	for _, tag := range slices.Concat(k.Tags, k.removing) {
		who = append(who, needs.Tags[tag]...)
	}
	slices.Sort(who)
	who = slices.Compact(who)
	switch {
	case len(who) > 0:
		return "needed", who
	case k.Made.IsZero():
		return "not noted as written by pipe", nil
	case k.foreign != "":
		return fmt.Sprintf("tag %s was not written by pipe", k.foreign), nil
	case k.err != nil:
		return k.err.Error(), nil
	case time.Since(k.Made) < olderThan:
		return "too new", nil
	}
	return "", nil
}

// Prune removes those of the images that are not needed, and returns them. It works beside
// runs, which look for images by their tags:
//
//  1. The tags are removed, so that a run that begins afterwards does not find the images, and
//     makes them again. Each gets another tag, so that the next Prune finds what an
//     interrupted one leaves.
//  2. The runs that were in progress then are waited for, because they may have found the
//     images. What they have recorded is needed: its tags are restored.
//  3. The rest is deleted, under a claim, or unless it was pushed again meanwhile.
//
// The error is a *NoDeleteError if the registry does not delete; nothing is changed then. If ctx
// ends, or it is no longer known what is needed, the tags are restored.
//
// A registry is pruned by one process at a time. If another one does not end, the error is a
// [runtime.ClaimedError].
func (r *Registry) Prune(ctx context.Context, kept []*Kept, o PruneOptions) (removed []*Kept, err error) {
	roster, err := r.roster()
	if err != nil {
		return nil, err
	}
	claim, err := r.claimPatiently(ctx, roster.Tag("prune"))
	if err != nil {
		return nil, fmt.Errorf("prune %s: %w", r.prefix, err)
	}
	defer claim.Release(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-claim.Lost():
			cancel(errors.New("another process prunes the registry"))
		case <-ctx.Done():
		}
	}()
	return r.prune(ctx, kept, o)
}

func (r *Registry) prune(ctx context.Context, kept []*Kept, o PruneOptions) (removed []*Kept, err error) {
	needs, err := o.Needs(ctx)
	if err != nil {
		return nil, err
	}
	p := &pruning{Registry: r, opts: o, all: slices.Clone(kept), began: time.Now()}
	if p.pusher, err = remote.NewPusher(r.options()...); err != nil {
		return nil, err
	}
	for _, k := range kept {
		if why, _ := k.Why(needs, o.OlderThan); why == "" {
			p.going = append(p.going, k)
		}
	}
	if len(p.going) == 0 {
		return nil, nil
	}
	// A registry that does not delete says so before anything is changed.
	probe := p.going[0].removingTag()
	if err := r.untag(ctx, probe.Context().Tag(probe.TagStr()+".probe")); err != nil {
		return nil, err
	}
	for _, k := range p.going {
		if err := p.hide(ctx, k); err != nil {
			return nil, errors.Join(err, p.restore(ctx, p.going))
		}
	}
	p.hidden = time.Now()
	if needs, err = p.settle(ctx); err != nil {
		return nil, errors.Join(err, p.restore(ctx, p.going))
	}
	var needed []*Kept
	p.going = slices.DeleteFunc(p.going, func(k *Kept) bool {
		why, _ := k.Why(needs, o.OlderThan)
		if why != "" {
			needed = append(needed, k)
		}
		return why != ""
	})
	if err := p.restore(ctx, needed); err != nil {
		return nil, errors.Join(err, p.restore(ctx, p.going))
	}
	for i, k := range p.going {
		gone, err := p.remove(ctx, k)
		if gone {
			removed = append(removed, k)
			p.all = slices.DeleteFunc(p.all, func(other *Kept) bool { return other == k })
		}
		if err != nil {
			return removed, errors.Join(err, p.restore(ctx, p.going[i+1:]))
		}
	}
	return removed, nil
}

// A pruning is one call of Prune.
type pruning struct {
	*Registry
	opts   PruneOptions
	pusher *remote.Pusher
	began  time.Time
	hidden time.Time // when all of going were hidden
	all    []*Kept   // that are still there
	going  []*Kept
}

// removingTag is the tag of an image while it is removed.
func (k *Kept) removingTag() name.Tag {
	tag := strings.TrimPrefix(string(k.Digest), "sha256:")
	for _, t := range slices.Concat(k.Tags, k.removing) {
		if isIdentityTag(t) {
			tag = t
			break
		}
	}
	return k.repo.Tag(tag + removingSuffix)
}

func (k *Kept) root() manifest { return k.manifests[len(k.manifests)-1] }

// hide replaces the tags of an image.
func (p *pruning) hide(ctx context.Context, k *Kept) error {
	if err := p.put(ctx, k.removingTag(), k.root()); err != nil {
		return err
	}
	for _, tag := range k.Tags {
		if err := p.untag(ctx, k.repo.Tag(tag)); err != nil {
			return err
		}
	}
	return nil
}

// restore gives images their tags again, even if ctx has ended.
func (p *pruning) restore(ctx context.Context, all []*Kept) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	var errs []error
	for _, k := range all {
		err := p.restoreOne(ctx, k)
		if err != nil {
			err = fmt.Errorf("restore the tags of %s: %w", k.Ref(), err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (p *pruning) restoreOne(ctx context.Context, k *Kept) error {
	taken := false
	for _, tag := range slices.Concat(k.Tags, k.removing) {
		is, err := p.head(ctx, k.repo.Tag(tag), discard)
		if isNotFound(err) {
			err = p.put(ctx, k.repo.Tag(tag), k.root())
		} else if err == nil && is.String() != string(k.Digest) {
			taken = true
		}
		if err != nil {
			return err
		}
	}
	if taken { // by another image, which was built meanwhile: this one keeps the tag that it has
		return nil
	}
	return p.untagRemoving(ctx, k)
}

func (p *pruning) untagRemoving(ctx context.Context, k *Kept) error {
	for _, tag := range append(k.removing, strings.TrimSuffix(k.removingTag().TagStr(), removingSuffix)) {
		if err := p.untag(ctx, k.repo.Tag(tag+removingSuffix)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pruning) put(ctx context.Context, tag name.Tag, m manifest) error {
	err := p.try(ctx, discard, "tag "+show(tag), func(ctx context.Context, _ *session) error { return p.pusher.Put(ctx, tag, m) })
	if err != nil {
		return p.explain(ctx, tag, err)
	}
	return nil
}

// Waits: between looks; how long a run does not change whose process is dead; and how long
// images are hidden at least, see delete.
const (
	settleInterval = time.Second
	deadTime       = time.Minute
	hiddenTime     = 3 * time.Second
)

// settle waits for the runs that are in progress, and returns what is needed then.
func (p *pruning) settle(ctx context.Context) (Needs, error) {
	needs, err := p.opts.Needs(ctx)
	if err != nil {
		return Needs{}, err
	}
	type sight struct {
		word string
		at   time.Time
	}
	runs := make(map[string]sight)
	for run, word := range needs.Runs {
		runs[run] = sight{word, time.Now()}
	}
	for {
		for run, was := range runs {
			word, there := needs.Runs[run]
			switch {
			case !there || word == was.word && time.Since(was.at) > deadTime:
				delete(runs, run)
			case word != was.word:
				runs[run] = sight{word, time.Now()}
			}
		}
		if len(runs) == 0 && time.Since(p.hidden) > hiddenTime {
			return needs, nil
		}
		if p.opts.Waiting != nil && len(runs) > 0 {
			p.opts.Waiting(slices.Sorted(maps.Keys(runs)))
		}
		if err := retry.Pause(ctx, settleInterval); err != nil {
			return Needs{}, err
		}
		if needs, err = p.opts.Needs(ctx); err != nil {
			return Needs{}, err
		}
	}
}

// claimPatiently claims what is at a tag. If another process has the claim, the error is a
// [runtime.ClaimedError]; the claim of a dead process is waited for.
func (r *Registry) claimPatiently(ctx context.Context, tag name.Tag) (claim runtime.Claim, err error) {
	for begun := time.Now(); ; {
		claim, err = r.claim(ctx, tag, "pipe images prune")
		var claimed *runtime.ClaimedError
		if !errors.As(err, &claimed) || time.Since(begun) > r.claimTime+settleInterval {
			return claim, err
		}
		if err := retry.Pause(ctx, min(settleInterval, r.claimTime)); err != nil {
			return nil, err
		}
	}
}

// remove deletes an image, unless it is built again.
func (p *pruning) remove(ctx context.Context, k *Kept) (gone bool, err error) {
	back := func(err error) (bool, error) { return false, errors.Join(err, p.restore(ctx, []*Kept{k})) }
	var claim runtime.Claim = granted{} // builds that push to the embedded registry claim nothing
	if p.Registry.shared {
		claim, err = p.claimPatiently(ctx, k.repo.Tag(strings.TrimSuffix(k.removingTag().TagStr(), removingSuffix)))
	}
	var claimed *runtime.ClaimedError
	if errors.As(err, &claimed) {
		return back(nil)
	}
	if err != nil {
		return back(err)
	}
	defer claim.Release(context.WithoutCancel(ctx))
	for _, tag := range slices.Concat(k.Tags, k.removing) {
		is, err := p.head(ctx, k.repo.Tag(tag), discard)
		if err == nil && is.String() == string(k.Digest) {
			return back(nil)
		}
		if err != nil && !isNotFound(err) {
			return back(p.explain(ctx, k.repo.Tag(tag), err))
		}
	}
	referrers, tags, err := p.attached(ctx, k)
	if err != nil {
		return back(err)
	}
	root, shared := k.root().desc.Digest, p.shared(k)
	for _, tag := range slices.Concat(k.Tags, k.removing) {
		if err := p.removeProvenance(ctx, k, k.repo.Tag(tag+provenanceSuffix)); err != nil {
			return back(err)
		}
	}
	if !shared[root] { // otherwise it is a part of another image
		if gone, err := p.delete(ctx, k, root, p.hidden.Add(time.Second)); err != nil || !gone {
			return back(err)
		}
		for _, m := range slices.Backward(k.manifests) {
			if d := m.desc.Digest; d != root && !shared[d] {
				if _, err := p.delete(ctx, k, d, p.began.Add(-2*time.Second)); err != nil {
					return true, err
				}
			}
		}
		for _, d := range referrers {
			if !shared[d] {
				if _, err := p.delete(ctx, k, d, time.Time{}); err != nil {
					return true, err
				}
			}
		}
		for _, tag := range tags {
			if err := p.untag(ctx, k.repo.Tag(tag)); err != nil {
				return true, err
			}
		}
	}
	if err := p.untagRemoving(ctx, k); err != nil {
		return true, err
	}
	for _, tag := range slices.Concat(k.Tags, k.removing) {
		if err := p.untag(ctx, k.repo.Tag(tag+noteSuffix)); err != nil {
			return true, err
		}
	}
	return true, nil
}

// attached returns what refers to an image and the manifests that it lists, such as
// signatures: their digests, and the tags that lead to them.
func (p *pruning) attached(ctx context.Context, k *Kept) (digests []v1.Hash, tags []string, err error) {
	c := &copier{registry: p.Registry, from: k.repo, emit: discard, image: k.Repository}
	there, err := c.tags(ctx, k.root().desc.Digest)
	if err != nil {
		return nil, nil, p.explain(ctx, k.repo.Digest(string(k.Digest)), err)
	}
	for _, m := range k.manifests {
		f := &found{digest: m.desc.Digest}
		if err := c.find(ctx, f, there); err != nil {
			return nil, nil, p.explain(ctx, k.repo.Digest(string(k.Digest)), err)
		}
		for _, d := range f.listed {
			digests = append(digests, d.Digest)
		}
		for tag := range there {
			if strings.HasPrefix(tag, refTag(m.desc.Digest)+reportSuffix) {
				tags = append(tags, tag)
			}
		}
		for _, t := range f.tagged { // what has such a tag may have another one for another image
			tags = append(tags, t.tag)
		}
		if len(f.listed) > 0 && there[refTag(m.desc.Digest)] {
			tags = append(tags, refTag(m.desc.Digest))
		}
	}
	return digests, tags, nil
}

// shared returns the manifests of the other images in the repository of k.
func (p *pruning) shared(k *Kept) map[v1.Hash]bool {
	of := make(map[v1.Hash]bool)
	for _, other := range p.all {
		if other != k && other.repo == k.repo {
			for _, m := range other.manifests {
				of[m.desc.Digest] = true
			}
		}
	}
	return of
}

// delete deletes a manifest, unless it was pushed after a time, which only the embedded registry
// knows: the time has whole seconds, so images are hidden for longer before they are deleted.
// One that is not there is gone.
func (p *pruning) delete(ctx context.Context, k *Kept, digest v1.Hash, unmodified time.Time) (gone bool, err error) {
	ref := k.repo.Digest(digest.String())
	if !unmodified.IsZero() {
		ctx = context.WithValue(ctx, unmodifiedKey{}, unmodified)
	}
	err = p.try(ctx, discard, "delete "+show(ref), func(ctx context.Context, _ *session) error { return p.pusher.Delete(ctx, ref) })
	var answer *transport.Error
	switch {
	case err == nil || isNotFound(err):
		return true, nil
	case errors.As(err, &answer) && answer.StatusCode == http.StatusPreconditionFailed:
		return false, nil
	}
	return false, p.undeleted(ctx, ref, err)
}

// unmodifiedKey is the key of a context with the time since when what a request deletes must
// not have been modified.
type unmodifiedKey struct{}

// untag removes a tag. One that is not there is removed.
func (r *Registry) untag(ctx context.Context, tag name.Tag) error {
	err := r.write(ctx, "remove "+show(tag), discard, func(ctx context.Context, p *remote.Pusher) error { return p.Delete(ctx, tag) })
	if err == nil || isNotFound(err) {
		return nil
	}
	return r.undeleted(ctx, tag, err)
}

// undeleted explains why something was not deleted.
func (r *Registry) undeleted(ctx context.Context, ref name.Reference, err error) error {
	var answer *transport.Error
	if errors.As(err, &answer) {
		unsupported := slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool { return d.Code == transport.UnsupportedErrorCode })
		switch {
		case unsupported, answer.StatusCode == http.StatusMethodNotAllowed, answer.StatusCode == http.StatusNotImplemented:
			return &NoDeleteError{shownHost(ref.Context().RegistryStr()), answer.StatusCode}
		}
	}
	return r.explain(ctx, ref, err)
}
