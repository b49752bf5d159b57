package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A cnbBuilder is what the configuration of a builder image says.
type cnbBuilder struct {
	uid, gid  int // of the user that buildpacks run as
	env       []string
	api       string // the version of the platform API to use
	lifecycle string // its version; empty: the builder does not say it
}

// A notBuilderError says why an image cannot be the builder, as a sentence whose subject is the image.
type notBuilderError struct{ why, next string }

func (e *notBuilderError) Error() string { return e.why }

// Labels of builder images, see the specification of Cloud Native Buildpacks.
const (
	builderLabel = "io.buildpacks.builder.metadata"
	apisLabel    = "io.buildpacks.lifecycle.apis"
)

// platformAPIs are the versions of the platform API that pipe knows, the preferred one first. Older ones
// have no layouts.
var platformAPIs = [...]string{"0.14", "0.13", "0.12"}

// builderOf reads the configuration of a builder image.
func builderOf(image v1.Image) (*cnbBuilder, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	meta, err := builderMetaOf(config)
	if err != nil {
		return nil, err
	}
	out := &cnbBuilder{env: config.Config.Env, lifecycle: meta.Lifecycle.Version}
	has := slices.Concat(meta.Lifecycle.APIs.Platform.Supported, meta.Lifecycle.APIs.Platform.Deprecated)
	for _, api := range platformAPIs {
		if out.api == "" && slices.Contains(has, api) {
			out.api = api
		}
	}
	if out.api == "" {
		return nil, &notBuilderError{
			fmt.Sprintf("has a lifecycle with the versions %s of the platform API, and pipe needs one of %s", list(has), list(platformAPIs[:])),
			"use a builder whose lifecycle is at least 0.17, or a newer pipe, and run again",
		}
	}
	for _, id := range []struct {
		name string
		to   *int
	}{{"CNB_USER_ID", &out.uid}, {"CNB_GROUP_ID", &out.gid}} {
		value, ok := variable(out.env, id.name)
		if *id.to, err = strconv.Atoi(value); !ok || err != nil || *id.to < 0 {
			return nil, &notBuilderError{fmt.Sprintf("is not a complete builder: its variable %s is %q, not the number of a user or a group", id.name, value), otherBuilder}
		}
	}
	return out, nil
}

// otherBuilder is what to do about a builder that is not complete.
const otherBuilder = "use another version of the builder, and run again"

// builderMeta is what pipe reads of the labels of a builder image.
type builderMeta struct {
	Lifecycle struct {
		Version string
		APIs    lifecycleAPIs
	}
	Images []runImageMeta // the first one is the default
	Stack  struct{ RunImage runImageMeta }
}

type lifecycleAPIs struct {
	Platform struct{ Deprecated, Supported []string }
}

// runImageMeta is an image with the names that it has in other registries.
type runImageMeta struct {
	Image   string
	Mirrors []string
}

// builderMetaOf reads the labels of a builder image.
func builderMetaOf(config *v1.ConfigFile) (*builderMeta, error) {
	labels := config.Config.Labels
	if labels[builderLabel] == "" {
		return nil, &notBuilderError{"is not a builder of Cloud Native Buildpacks: it has no label " + builderLabel, "name a builder with builder= of buildpack(), such as paketobuildpacks/builder-jammy-base, and run again"}
	}
	meta := &builderMeta{}
	err := json.Unmarshal([]byte(labels[builderLabel]), meta)
	if text := labels[apisLabel]; text != "" && err == nil {
		err = json.Unmarshal([]byte(text), &meta.Lifecycle.APIs)
	}
	if err != nil {
		return nil, &notBuilderError{fmt.Sprintf("has a label that cannot be read: %v", err), otherBuilder}
	}
	return meta, nil
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

// RunImages implements [runtime.Builder]. All platforms of the build must have the same run image. Errors
// have the position of spec.
func (b *Builder) RunImages(ctx context.Context, spec plan.BuildSpec) ([]string, error) {
	of, ok := spec.Bases[plan.BuildpackBuilder]
	if !ok {
		return nil, problem(spec, fmt.Errorf("the build has no image %s", plan.BuildpackBuilder), "")
	}
	wanted := spec.Platforms
	if len(wanted) == 0 {
		own, err := b.pool.platform(ctx)
		if err != nil {
			return nil, err
		}
		wanted = []string{own}
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
		var config *v1.ConfigFile
		var meta *builderMeta
		image, err := imageFor(found, platforms.Normalize(p))
		if err == nil {
			config, err = image.ConfigFile()
		}
		if err == nil {
			meta, err = builderMetaOf(config)
		}
		var names []string
		const next = "name the run image that belongs to the builder with run_image= of buildpack(), and run again"
		if err == nil {
			names = meta.runImages(registryIn(name))
			switch {
			case len(names) == 0:
				err = &notBuilderError{"names no run image: its label " + builderLabel + " has none in images and in stack.runImage", next}
			case i > 0 && !slices.Equal(names, known):
				err = &notBuilderError{fmt.Sprintf("names the run image %s for %s, and %s for %s", known[0], wanted[0], names[0], platform), next}
			}
		}
		if err != nil {
			return nil, cnbProblem(spec, "builder", plan.BuildpackBuilder, err)
		}
		known = names
	}
	if _, _, digest := plan.CutImage(of.Ref); digest != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.runs[key] = known
	}
	return known, nil
}

// list returns names with commas; "none" if there are none.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// variable returns the value of a variable in an environment.
func variable(env []string, name string) (string, bool) {
	for _, v := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// cnbProblem returns an error of the builder or the base of a build, which is not one of its source.
func cnbProblem(spec plan.BuildSpec, what, arg string, err error) error {
	said := fmt.Errorf("the %s %s %w", what, baseName(spec, arg), err)
	var other *otherPlatformError
	var unfit *notBuilderError
	switch {
	case errors.As(err, &other):
		return runtime.Advise(problem(spec, said, ""), runtime.Advice{Do: "name a " + what + " for that platform, or others with platforms= of buildpack(), and run again"})
	case errors.As(err, &unfit):
		return runtime.Advise(problem(spec, said, ""), runtime.Advice{Do: unfit.next})
	}
	return fmt.Errorf("read the %s %s: %w", what, baseName(spec, arg), err)
}
