package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// The images that charts and manifests of others name are mirrored, too (I3). Which these
// are is known when the release is rendered: look does this first, and then looks for the
// images that it has found as for those of the plan.

// A PodImage is an image that the specification of a pod names.
type PodImage struct {
	Ref string // as it is there
	In  string // the place, such as "deployment web, container proxy"
}

// Has reports whether ref is Image or one of Images, perhaps with a tag beside the digest: it is
// deployed as it is.
func (r Release) Has(ref string) bool {
	if _, digest, ok := strings.Cut(ref, "@"); ok {
		ref = ByDigest(ref, plan.Digest(digest))
	}
	return ref != "" && (ref == r.Image || slices.Contains(slices.Collect(maps.Values(r.Images)), ref))
}

// naming returns the task that finds the images which the chart or the manifests of s name.
func (r *run) naming(s *service) *sched.Task {
	return &sched.Task{Name: "find the images of " + s.Name, Do: func(ctx context.Context) error {
		if s.err == nil { // its chart was found
			s.err = s.imageError()
		}
		if s.err == nil {
			s.unnamed = r.nameImages(ctx, s)
		}
		return nil
	}}
}

// nameImages sets the images that the chart or the manifests of s name. An image of the
// plan that is not built yet has the identity of its build instead of a digest.
func (r *run) nameImages(ctx context.Context, s *service) error {
	release := r.release(s)
	for _, im := range s.images {
		if im.byDigest == "" {
			release.setImage(im.name, ByDigest(im.ref, im.identity))
		}
	}
	named, err := r.Deployer.Images(ctx, release)
	if err != nil {
		return fmt.Errorf("render %s: %w", s.Name, err)
	}
	s.podImages = release.others(named)
	return nil
}

// others returns the images that are not those of r.
func (r Release) others(named []PodImage) []PodImage {
	return slices.DeleteFunc(slices.Clone(named), func(im PodImage) bool { return r.Has(im.Ref) })
}

// lookupsOfNamed returns the tasks that look for the images that were found by naming, and
// determine the fingerprints of their services. A chart that cannot be rendered with what
// is known so far may be rendered when its images and Secrets exist: see nameAgain.
func (r *run) lookupsOfNamed() (tasks []*sched.Task) {
	finding := make(map[*image]*sched.Task)
	for _, st := range r.scope.stages {
		for _, s := range st.services {
			if !s.MirrorImages || !r.scope.deploys(s) || s.err != nil {
				continue
			}
			waits := len(s.missing) > 0 || s.imageUnknown()
			if s.unnamed != nil && !waits {
				s.err = s.unnamed
				continue
			}
			t := r.fingerprinting(s)
			known := len(r.set.list)
			for _, im := range r.addNamed(s, r.set) {
				if slices.Contains(r.set.list[known:], im.image) {
					finding[im.image] = r.finding(im.image)
					tasks = append(tasks, finding[im.image])
				}
				if finding[im.image] != nil {
					t.After = append(t.After, finding[im.image])
				}
			}
			tasks = append(tasks, t)
		}
	}
	r.images = r.set.list
	return tasks
}

// errNoImage is the error of a container without an image.
var errNoImage = errors.New("it names no image")

// addNamed sets the images of s of podImages, each once, and returns them. Those that s
// did not have come from set.
func (r *run) addNamed(s *service, set *imageSet) []namedImage {
	had := make(map[string]*image)
	s.images = slices.DeleteFunc(s.images, func(im namedImage) bool {
		if im.in != nil {
			had[im.name] = im.image
		}
		return im.in != nil
	})
	first := len(s.images)
	for _, of := range s.podImages {
		i := first + slices.IndexFunc(s.images[first:], func(im namedImage) bool { return im.name == of.Ref })
		if i < first {
			im := had[of.Ref]
			if im == nil {
				im = set.image(imageKey{ImageSource: plan.ImageSource{Mirror: of.Ref}, given: r.given(s, of.Ref)}, s, nil)
			}
			if of.Ref == "" {
				im.err = errNoImage
			}
			i = len(s.images)
			s.images = append(s.images, namedImage{image: im, name: of.Ref})
		}
		s.images[i].in = append(s.images[i].in, of.In)
	}
	return s.images[first:]
}

// nameAgain finds the images of a service that waited for images or Secrets, with which its
// chart may name others, and copies those that were not copied yet.
func (r *run) nameAgain(ctx context.Context, s *service) error {
	if err := r.nameImages(ctx, s); err != nil {
		return err
	}
	emit, stop := r.track.emit(s)
	defer stop()
	return r.mirrorNamed(ctx, s, emit)
}

// mirrorNamed copies the images that the chart or the manifests of s name and that were not
// copied yet.
func (r *run) mirrorNamed(ctx context.Context, s *service, emit Emit) error {
	more := &imageSet{scope: r.scope, found: make(map[imageKey]*image)}
	r.addNamed(s, more)
	var tasks []*sched.Task
	for _, im := range more.list {
		tasks = append(tasks, &sched.Task{Name: im.source(), Class: classBuild, Do: func(ctx context.Context) error {
			if im.err = r.find(ctx, im); im.err == nil {
				im.err = r.verify(ctx, im)
			}
			if im.err == nil {
				im.err = r.findReport(ctx, im)
			}
			if found := r.findings(im); im.err == nil && found != nil && !r.passes(s) {
				im.err = found
			}
			if im.err != nil || im.there && !r.unscanned(im) {
				return nil // it is reported with those of the others
			}
			r.track.making(s, im)
			im.err = r.makeBy(ctx, im, emit)
			return nil
		}})
	}
	if _, err := sched.Run(ctx, tasks, sched.Options{Limits: limits(r.scope.plan.Pipeline)}); err != nil {
		return err
	}
	return s.imageError()
}

// mirrorLate returns the function by which the deploy of release, that of s, copies images
// which the templates of its chart name only then; why is the reason of the deploy.
func (r *run) mirrorLate(s *service, release Release, why string, emit Emit) func(context.Context, []PodImage) (map[string]string, error) {
	return func(ctx context.Context, named []PodImage) (map[string]string, error) {
		s.podImages = release.others(named)
		if err := r.mirrorNamed(ctx, s, emit); err != nil {
			return nil, err
		}
		release := r.release(s)
		r.track.images(s, release)
		r.track.set(s, verb[r.req.Action], why)
		return release.Mirrored, nil
	}
}

// imageError returns why images of s cannot be deployed, as far as that is known.
func (s *service) imageError() error {
	var failures []ImageFailure
	for _, im := range s.images {
		if im.err != nil {
			failures = append(failures, s.imageFailure(im.image, im.err))
		}
	}
	if failures == nil {
		return nil
	}
	return &ImagesError{failures}
}

// imageFailure adds to the error of an image of s where its chart or its manifests name it,
// and what to do about it.
func (s *service) imageFailure(im *image, err error) ImageFailure {
	ref := im.mirror + im.external
	i := slices.IndexFunc(s.images, func(of namedImage) bool { return of.image == im && of.in != nil })
	if i < 0 {
		return ImageFailure{Ref: ref, Err: err}
	}
	in := s.images[i].in
	place := in[0]
	if len(in) > 1 {
		place += fmt.Sprintf(", and %d more", len(in)-1)
	}
	of, do := "manifests", "name another image in its manifests"
	if s.Chart != nil {
		of, do = "chart "+s.Chart.Ref, "name another image in values= of the service"
	}
	unsigned, found := (*UnsignedError)(nil), (*FindingsError)(nil)
	if errors.As(err, &unsigned) || errors.As(err, &found) {
		return ImageFailure{ref, of + ": " + place, err}
	}
	cause := err
	if common := (*CommonError)(nil); errors.As(err, &common) {
		cause = common // its advice is not about image= of a service
	}
	advice, ok := AdviceOf(cause)
	switch {
	case ok:
	case errors.Is(err, ErrTimeout):
		advice.Do = "increase timeout= of the service or --timeout"
	default:
		advice.Do = do
	}
	advice.Do += ", or write images = \"keep\": then the cluster pulls the images of the service from where they are"
	if ref == "" {
		ref = `""`
	}
	return ImageFailure{ref, of + ": " + place, Advise(err, advice)}
}
