package local

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/inspect"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// maxLookups is the number of images that are looked up concurrently.
const maxLookups = 16

// Upstreams finds the tags on which the deployed images of an environment depend, and looks up
// where they are now. It changes nothing. looking, if set, is called with the number of tags.
func (r *Runtime) Upstreams(ctx context.Context, env *runtime.Environment, looking func(tags int)) (*inspect.Upstreams, error) {
	u := &inspect.Upstreams{
		Version: inspect.Version, Pipeline: env.Key.Pipeline, Environment: env.Key.Name,
		Images: []inspect.UpstreamImage{}, Unknown: []inspect.UnknownUpstream{},
	}
	if env.Plan == nil {
		return u, nil
	}
	hide := r.hideIn(env.Plan)
	type deployed struct{ service, name, ref string }
	var built []deployed
	for i := range env.Plan.Services {
		s := &env.Plan.Services[i]
		for name, from := range s.AllImages() {
			ref := env.Images[plan.ImageKey(s.Name, name)]
			upstream := from.Mirror + from.Ref // at most one of them is set
			_, tag, named := plan.CutImage(upstream)
			_, _, digest := plan.CutImage(ref)
			switch {
			case ref == "":
			case from.Build != "":
				built = append(built, deployed{s.Name, name, ref})
			case named != "" && tag == "": // nothing can move
			case digest == "":
				u.Unknown = append(u.Unknown, inspect.UnknownUpstream{Service: s.Name, Name: name, Image: ref, Why: inspect.DeployedByTag})
			default:
				image, _, _ := strings.Cut(upstream, "@")
				u.Images = append(u.Images, inspect.UpstreamImage{
					Service: s.Name, Name: name, Kind: inspect.UpstreamDeployed, Image: image, Was: plan.Digest(digest), Pinned: named != "",
				})
			}
		}
	}

	var refs []string
	for _, d := range built {
		if !slices.Contains(refs, d.ref) {
			refs = append(refs, d.ref)
		}
	}
	bases := &basesOf{images: r.images, of: make(map[string][]runtime.BaseImage), errs: make(map[string]error)}
	if err := bases.read(ctx, refs); err != nil {
		return nil, err
	}
	for _, d := range built {
		all, err := bases.all(d.ref)
		if err != nil {
			unknown := inspect.UnknownUpstream{Service: d.service, Name: d.name, Image: d.ref, Why: inspect.UnrecordedBases}
			if !errors.Is(err, runtime.ErrNotFound) {
				unknown.Why, unknown.Error = inspect.UnreadableNote, hide(err.Error())
			}
			u.Unknown = append(u.Unknown, unknown)
		}
		for _, base := range all {
			if _, tag, _ := plan.CutImage(base.Image); tag != "" {
				u.Images = append(u.Images, inspect.UpstreamImage{
					Service: d.service, Name: d.name, Kind: inspect.UpstreamBase, Image: base.Image, Was: base.Digest, Pinned: base.Pinned,
				})
			}
		}
	}
	if err := r.named(ctx, env, u); err != nil {
		return nil, err
	}
	return u, r.lookUp(ctx, u.Images, hide, looking)
}

// named adds the images that charts and manifests name and that are deployed as copies.
func (r *Runtime) named(ctx context.Context, env *runtime.Environment, u *inspect.Upstreams) error {
	mirrored, err := r.mirroredFor(ctx, env)
	if err != nil {
		return err
	}
	for i := range env.Plan.Services {
		s := &env.Plan.Services[i]
		if !s.MirrorImages {
			continue
		}
		of, recorded := mirrored[s.Name]
		if !recorded {
			u.Unknown = append(u.Unknown, inspect.UnknownUpstream{Service: s.Name, Why: inspect.UnrecordedImages})
		}
		for _, name := range slices.Sorted(maps.Keys(of)) {
			_, tag, pinned := plan.CutImage(name)
			_, _, digest := plan.CutImage(of[name])
			if pinned != "" && tag == "" || digest == "" { // nothing can move
				continue
			}
			image, _, _ := strings.Cut(name, "@")
			u.Images = append(u.Images, inspect.UpstreamImage{
				Service: s.Name, Kind: inspect.UpstreamNamed, Image: image, Was: plan.Digest(digest), Pinned: pinned != "",
			})
		}
	}
	return nil
}

// lookUp sets what the tags of images are now, each looked up once.
func (r *Runtime) lookUp(ctx context.Context, images []inspect.UpstreamImage, hide func(string) string, looking func(int)) error {
	var tags []string
	for _, im := range images {
		tags = append(tags, im.Image)
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	if looking != nil {
		looking(len(tags))
	}
	var mu sync.Mutex
	now := make(map[string]plan.Digest)
	errs := make(map[string]error)
	concurrently(maxLookups, tags, func(tag string) {
		digest, err := r.Registry.Resolve(ctx, tag)
		mu.Lock()
		defer mu.Unlock()
		now[tag], errs[tag] = digest, err
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i := range images {
		im := &images[i]
		if err := errs[im.Image]; err != nil {
			im.Error = hide(err.Error())
			continue
		}
		im.Now = now[im.Image]
		im.Moved = im.Now != im.Was
	}
	return nil
}

// hideIn returns what hides the values of the secrets of a plan in a string.
func (r *Runtime) hideIn(p *plan.Plan) func(string) string {
	if r.Hide == nil {
		return func(text string) string { return text }
	}
	return r.Hide(p)
}

// concurrently calls do for each of all, at most limit at a time.
func concurrently(limit int, all []string, do func(string)) {
	var group errgroup.Group
	group.SetLimit(limit)
	for _, one := range all {
		group.Go(func() error { do(one); return nil })
	}
	_ = group.Wait() // no call fails
}

// basesOf are the base images of images, by reference by digest.
type basesOf struct {
	images *registry.Registry
	mu     sync.Mutex
	of     map[string][]runtime.BaseImage // guarded by mu
	errs   map[string]error               // guarded by mu
}

// read reads the notes of images, and those of the images of the same registry that they are
// built from.
func (b *basesOf) read(ctx context.Context, refs []string) error {
	for len(refs) > 0 {
		concurrently(maxLookups, refs, func(ref string) {
			made, err := b.images.Made(ctx, ref)
			if err == nil && made.Bases == nil {
				err = runtime.ErrNotFound
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.of[ref], b.errs[ref] = made.Bases, err
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var next []string
		for _, ref := range refs {
			for _, base := range b.of[ref] {
				own, ok := b.own(base)
				if _, read := b.errs[own]; ok && !read && !slices.Contains(next, own) {
					next = append(next, own)
				}
			}
		}
		refs = next
	}
	return nil
}

// own returns the reference of a base image that pipe has built itself, as that of another
// service.
func (b *basesOf) own(base runtime.BaseImage) (ref string, ok bool) {
	_, tag, _ := plan.CutImage(base.Image)
	return base.Image + "@" + string(base.Digest), tag == "" && b.images.Keeps(base.Image)
}

// all returns the base images of an image, with those of its base images that pipe has built.
// The error is the first one of their notes.
func (b *basesOf) all(ref string) (found []runtime.BaseImage, err error) {
	refs := []string{ref}
	for i := 0; i < len(refs); i++ {
		if err == nil {
			err = b.errs[refs[i]]
		}
		for _, base := range b.of[refs[i]] {
			found = append(found, base)
			if own, ok := b.own(base); ok && !slices.Contains(refs, own) {
				refs = append(refs, own)
			}
		}
	}
	slices.SortFunc(found, runtime.BaseImage.Compare)
	return slices.Compact(found), err
}
