package runtime

import (
	"fmt"
	"iter"
	"slices"

	"github.com/pipelinefile/pipe/plan"
)

// An image is one image that the run needs, for any number of services. Exactly one
// of build, mirror and external is set, or none of these but given.
type image struct {
	given string // deploy this digest; if it is not available, use the following fields

	build    *plan.BuildSpec // build the image from this
	mirror   string          // copy the image from here into the registry
	external string          // deploy the image from here
	stage    *stage          // the first stage that needs it
	services []*service      // the services that use it, in running order

	// Set by look.
	identity plan.Digest // of build
	ref      string      // the tag under which the image of build is stored
	byDigest string      // the reference in releases; empty until it is known
	there    bool        // it is already in the registry
	unasked  error       // why its digest could not be looked up, so that its tag is deployed
	err      error       // why the lookup failed
}

// source describes the source of the image, for messages.
func (im *image) source() string {
	switch {
	case im.build != nil:
		return "image of " + im.build.ID
	case im.mirror != "":
		return im.mirror
	}
	return im.external
}

// A namedImage is an image of a service. The name is empty for its own image; see
// plan.NamedImage.
type namedImage struct {
	*image
	name string
}

// imageUnknown reports whether the reference of some image of s is not known yet,
// because the image has to be made.
func (s *service) imageUnknown() bool {
	return slices.ContainsFunc(s.images, func(im namedImage) bool { return im.byDigest == "" })
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
	if im.build != nil {
		return "no image of this source in the registry"
	}
	return im.mirror + " is not in the registry"
}

// given returns the image that s is deployed with regardless of its source: an image of
// the request, or that of a job whose image was built when the rest was deployed.
func (r *run) given(s *service, name string) string {
	key := plan.ImageKey(s.Name, name)
	if ref := r.req.Images[key]; ref != "" || !s.guard {
		return ref
	}
	return r.env.Images[key]
}

// images returns the images that the scope needs, in running order, and sets
// them on the services.
func (sc *scope) images(given func(s *service, name string) string) []*image {
	type key struct {
		plan.ImageSource
		given string
	}
	var images []*image
	found := make(map[key]*image)
	for _, st := range sc.stages {
		for _, s := range st.services {
			if s.images = nil; !sc.deploys(s) {
				continue
			}
			for name, from := range s.AllImages() {
				k := key{from, given(s, name)}
				im := found[k]
				if im == nil {
					im = &image{given: k.given, mirror: from.Mirror, external: from.Ref, stage: st}
					if id := from.Build; id != "" {
						if im.build = sc.plan.Build(id); im.build == nil {
							im.err = fmt.Errorf("the plan has no build %q", id)
						}
					}
					found[k] = im
					images = append(images, im)
				}
				s.images = append(s.images, namedImage{im, name})
				if n := len(im.services); n == 0 || im.services[n-1] != s {
					im.services = append(im.services, s)
				}
			}
		}
	}
	return images
}
