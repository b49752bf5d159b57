package runtime

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// An image is one image that the run needs, for any number of services. Exactly one
// of build, mirror, external and builder is set, or none of these but given. That of builder gets a mirror, too.
type image struct {
	given string // deploy this digest; if it is not available, use the following fields

	build    *plan.BuildSpec   // build the image from this
	mirror   string            // copy the image from here into the registry
	external string            // deploy the image from here
	stage    *stage            // the first stage that needs it
	services []*service        // the services that use it, in running order
	bases    map[string]*image // the values of arguments of build, by argument
	builder  *image            // it is the run image that this image names
	packed   *plan.BuildSpec   // with builder: the build that it is for

	// Set by look.
	identity plan.Digest // of build
	signer   string      // of build: who signs in the run
	ref      string      // the tag under which the image of build is stored
	byDigest string      // the reference in releases; empty until it is known
	there    bool        // it is already in the registry
	unasked  error       // why its digest could not be looked up, so that its tag is deployed
	unsigned bool        // the registry has an image that the key of the run has not signed
	verified string      // the reference whose signatures were verified (I16)
	report   *ScanReport // that is kept, or was made; nil: none (I14)
	reported string      // the reference whose report was looked for
	fresh    bool        // report was young enough when it was looked for, which decides for the run
	err      error       // why the lookup failed
}

// source describes the source of the image, for messages.
func (im *image) source() string {
	switch {
	case im.build != nil:
		return "image of " + im.build.ID
	case im.mirror != "":
		return im.mirror
	case im.builder != nil:
		return "the run image of " + im.builder.source()
	}
	return im.external
}

// A namedImage is an image of a service. The name is empty for its own image; see
// plan.NamedImage.
type namedImage struct {
	*image
	name string
	in   []string // where its chart or its manifests name it, by this name; nil: it is in the plan
}

// imageUnknown reports whether the reference of some image of s is not known yet,
// because the image has to be made.
func (s *service) imageUnknown() bool {
	return slices.ContainsFunc(s.images, func(im namedImage) bool { return im.byDigest == "" })
}

// has reports whether im is one of the images that s is deployed with.
func (s *service) has(im *image) bool {
	return slices.ContainsFunc(s.images, func(of namedImage) bool { return of.image == im })
}

// allImages returns the images of a record by name; that of its own image is empty.
func (r *ServiceRecord) allImages() iter.Seq2[string, string] {
	return func(yield func(name, byDigest string) bool) {
		if r.Image != "" && !yield("", r.Image) {
			return
		}
		for name, ref := range r.Images {
			if !yield(name, ref) {
				return
			}
		}
	}
}

// setImage sets an image of a release.
func (r *Release) setImage(name, byDigest string) {
	switch {
	case name == "":
		r.Image = byDigest
	case r.Images == nil:
		r.Images = map[string]string{name: byDigest}
	default:
		r.Images[name] = byDigest
	}
}

// why returns the reason why a missing image is made.
func (im *image) why() string {
	if im.unsigned {
		return "the image of this source in the registry is not signed by the signer of sign="
	}
	if im.there {
		return unscannedText
	}
	if im.build != nil {
		return "no image of this source in the registry"
	}
	return im.mirror + " is not in the registry"
}

// given returns the image that s is deployed with regardless of its source: an image of
// the request, or that of a job whose image was built when the rest was deployed.
func (r *run) given(s *service, name string) string {
	key := plan.ImageKey(s.Name, name)
	if ref := r.req.Images[key]; ref != "" || !s.teardown {
		return ref
	}
	return r.env.Images[key]
}

// images returns the images that the scope needs, in running order, and sets
// them on the services. The bases of an image come before it.
func (sc *scope) images(given func(s *service, name string) string) *imageSet {
	all := &imageSet{scope: sc, found: make(map[imageKey]*image)}
	for _, st := range sc.stages {
		for _, s := range st.services {
			if s.images = nil; !sc.deploys(s) {
				continue
			}
			for name, from := range s.AllImages() {
				im := all.image(imageKey{ImageSource: from, given: given(s, name)}, s, nil)
				s.images = append(s.images, namedImage{image: im, name: name})
			}
		}
	}
	return all
}

// An imageSet collects the images that a scope needs, each once.
type imageSet struct {
	scope *scope
	list  []*image
	found map[imageKey]*image
}

type imageKey struct {
	plan.ImageSource
	given     string
	builder   *image // of the run image that it names
	platforms string // with builder
}

// image returns an image that s needs, for the builds with these IDs.
func (set *imageSet) image(k imageKey, s *service, builds []string) *image {
	im := set.found[k]
	if im == nil {
		im = &image{given: k.given, mirror: k.Mirror, external: k.Ref, stage: s.stage}
		if id := k.Build; id != "" {
			if im.build = set.scope.plan.Build(id); im.build == nil {
				im.err = fmt.Errorf("the plan has no build %q", id)
			} else {
				set.bases(im, s, append(builds, id))
			}
		}
		set.found[k] = im
		set.list = append(set.list, im)
	}
	if !slices.Contains(im.services, s) {
		im.services = append(im.services, s)
	}
	if s.stage.index < im.stage.index {
		im.stage = s.stage
	}
	return im
}

// bases sets the bases of an image that is built.
func (set *imageSet) bases(im *image, s *service, builds []string) {
	for _, arg := range slices.Sorted(maps.Keys(im.build.ImageArgs)) {
		from := im.build.ImageArgs[arg]
		if slices.Contains(builds, from.Build) { // a plan of a Pipelinefile has no such builds
			im.err = fmt.Errorf("the build %s needs its own image: %s", from.Build, strings.Join(append(builds, from.Build), " -> "))
			return
		}
		if im.bases == nil {
			im.bases = make(map[string]*image)
		}
		im.bases[arg] = set.image(imageKey{ImageSource: from}, s, builds)
	}
	set.addRunImage(im, s, builds)
}

// spec returns the specification of a build with its bases.
func (im *image) spec() plan.BuildSpec {
	b := *im.build
	for arg, base := range im.bases {
		if b.Bases == nil {
			b.Bases = make(map[string]plan.Base)
		}
		of := plan.Base{Identity: base.identity, Ref: base.byDigest}
		if _, digest, ok := strings.Cut(base.byDigest, "@"); of.Identity == "" && ok {
			of.Identity = plan.Digest(digest)
		}
		if of.Identity == "" {
			of.Identity = plan.DigestOf([]byte(base.byDigest)) // a tag that cannot be looked up
		}
		b.Bases[arg] = of
		if base.builder != nil && base.mirror != "" {
			withNamed(&b, base)
		}
	}
	return b
}

// identify returns the identity of an image that is built, for which its bases must have
// been found.
func (r *run) identify(ctx context.Context, im *image) (plan.Digest, error) {
	for _, arg := range slices.Sorted(maps.Keys(im.bases)) {
		base := im.bases[arg]
		switch {
		case base.err == nil:
		case base.builder != nil: // the error says so itself
			return "", base.err
		default:
			return "", fmt.Errorf("%s%s: %w", atPos(im.build.Pos), im.build.ImageArg(arg), base.err)
		}
	}
	spec := im.spec()
	if c := r.commits[gitRef{spec.Source.Git, spec.Source.Ref}]; c != nil && c.err != nil && spec.Source.Commit == "" {
		return "", fmt.Errorf("identify %s: %s%w", im.source(), atPos(spec.Pos), AdviseGit(c.err))
	}
	identity, err := r.Builder.Identify(ctx, spec)
	if err != nil {
		return "", fmt.Errorf("identify %s: %w", im.source(), err)
	}
	return identity, nil
}

// atPos begins an error that has a position in a Pipelinefile.
func atPos(pos plan.Pos) string {
	if pos.IsZero() {
		return ""
	}
	return pos.String() + ": "
}

// settleBases finds the images that need not be made because only images that exist
// already are built from them.
func (r *run) settleBases() {
	needed := make(map[*image]bool)
	for _, s := range r.scope.services {
		for _, im := range s.images {
			needed[im.image] = true
		}
	}
	for _, im := range slices.Backward(r.images) {
		im.there = im.there || !needed[im]
		if !im.there {
			for _, base := range im.bases {
				needed[base] = true
			}
		}
	}
}
