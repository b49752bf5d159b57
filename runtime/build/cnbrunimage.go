package build

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pipelinefile/pipe/plan"
)

// RunImages implements [runtime.Builder]. All platforms of the build must have the same run image. Errors
// have the position of spec.
func (b *Builder) RunImages(ctx context.Context, spec plan.BuildSpec) ([]string, error) {
	of, ok := spec.Bases[plan.BuildpackBuilder]
	if !ok {
		return nil, problem(spec, fmt.Errorf("the build has no image %s", plan.BuildpackBuilder), "")
	}
	wanted, err := b.pool.platforms(ctx, spec)
	if err != nil {
		return nil, err
	}
	name := baseName(spec, plan.BuildpackBuilder)
	key := strings.Join(append([]string{name, of.Ref}, wanted...), " ")
	b.mu.Lock()
	known := b.runs[key]
	b.mu.Unlock()
	if known != nil {
		return known, nil
	}
	found, err := b.opts.Pull(ctx, of.Ref)
	if err != nil {
		return nil, err
	}
	for i, platform := range wanted {
		p, err := platforms.Parse(platform)
		if err != nil {
			return nil, problem(spec, err, "")
		}
		names, err := runImagesFor(found, platforms.Normalize(p), registryIn(name))
		if err == nil && i > 0 && !slices.Equal(names, known) {
			err = &notBuilderError{fmt.Sprintf("names the run image %s for %s, and %s for %s", known[0], wanted[0], names[0], platform), nameRunImage}
		}
		if err != nil {
			return nil, cnbProblem(spec, "builder", plan.BuildpackBuilder, err)
		}
		known = names
	}
	// A tag may be moved to another builder.
	if _, _, digest := plan.CutImage(of.Ref); digest != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.runs[key] = known
	}
	return known, nil
}

// nameRunImage is what to do about a builder that does not say which run image belongs to it.
const nameRunImage = "name the run image that belongs to the builder with run_image= of buildpack(), and run again"

// runImagesFor returns the names of the default run image of a builder for a platform, at least one. Those
// in registry come first.
func runImagesFor(builder *remote.Descriptor, p ocispecs.Platform, registry string) ([]string, error) {
	image, err := imageFor(builder, p)
	if err != nil {
		return nil, err
	}
	meta, _, err := builderMetaOf(image)
	if err != nil {
		return nil, err
	}
	names := meta.runImages(registry)
	if len(names) == 0 {
		return nil, &notBuilderError{"names no run image: its label " + builderLabel + " has none in images and in stack.runImage", nameRunImage}
	}
	return names, nil
}

// maxRunImages limits the names of a run image that are tried, because each costs requests.
const maxRunImages = 10

// runImages returns the names of the default run image of a builder. Those in a registry come first, which
// is that of the builder: who has copied the builder into a registry has usually copied its run image, too.
func (m *builderMeta) runImages(registry string) []string {
	of := m.Stack.RunImage
	if len(m.Images) > 0 {
		of = m.Images[0]
	}
	var near, others []string
	for _, name := range append([]string{of.Image}, of.Mirrors...) {
		switch {
		case name == "" || slices.Contains(near, name) || slices.Contains(others, name):
		case registryIn(name) == registry:
			near = append(near, name)
		default:
			others = append(others, name)
		}
	}
	all := append(near, others...)
	return all[:min(len(all), maxRunImages)]
}

// registryIn returns the registry of an image.
func registryIn(image string) string {
	host, _, _ := strings.Cut(plan.FullName(image), "/")
	return host
}
