package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// addRunImage adds the run image of a build by buildpacks whose plan names none: it is the one that the
// builder image names, which is known when that has been found (I32).
func (set *imageSet) addRunImage(im *image, s *service, builds []string) {
	builder := im.bases[plan.BuildpackBuilder]
	if im.build.Buildpack == nil || builder == nil || im.bases[plan.BuildpackRun] != nil {
		return
	}
	run := set.image(imageKey{builder: builder, platforms: strings.Join(im.build.Platforms, ",")}, s, builds)
	run.builder, run.packed = builder, im.build
	im.bases[plan.BuildpackRun] = run
}

// findNamed finds the image that the builder image of a build names. If that has mirrors, it is the first
// one that can be looked up.
func (r *run) findNamed(ctx context.Context, im *image) error {
	if err := im.builder.err; err != nil {
		return err
	}
	spec := *im.packed
	from := im.builder.byDigest
	if _, digest, ok := strings.Cut(from, "@"); ok && !im.builder.there {
		from = ByDigest(im.builder.mirror, plan.Digest(digest)) // it is copied when something is built
	}
	spec.Bases = map[string]plan.Base{plan.BuildpackBuilder: {Identity: im.builder.identity, Ref: from}}
	names, err := r.Builder.RunImages(ctx, spec)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		im.byDigest, im.there, err = r.Registry.Mirrored(ctx, name)
		if err == nil {
			im.mirror = name
			return nil
		}
		if failed == nil {
			failed = err
		} else {
			failed = fmt.Errorf("%w; %w", failed, err)
		}
		if ctx.Err() != nil || !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoAccess) && !errors.Is(err, ErrUnreachable) {
			break
		}
	}
	return Advise(fmt.Errorf("%slook for the run image that the builder %s names: %w", atPos(spec.Pos), im.builder.source(), failed),
		Advice{Do: "name one that can be read from here with run_image= of buildpack(), and run again"})
}

// withNamed sets the run image that a builder image names in the specification of a build.
func withNamed(b *plan.BuildSpec, run *image) {
	b.ImageArgs = maps.Clone(b.ImageArgs)
	b.ImageArgs[plan.BuildpackRun] = plan.ImageSource{Mirror: run.mirror}
}

// runImage returns the image that the builder image of a build names, for showing; "" if the plan names it.
func (im *image) runImage() string {
	if run := im.bases[plan.BuildpackRun]; run != nil && run.builder != nil {
		return run.mirror
	}
	return ""
}
