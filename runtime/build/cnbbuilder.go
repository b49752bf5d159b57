package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
	meta, config, err := builderMetaOf(image)
	if err != nil {
		return nil, err
	}
	out := &cnbBuilder{env: config.Env, lifecycle: meta.Lifecycle.Version}
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

// builderMetaOf reads the labels of a builder image, and returns its whole configuration, too.
func builderMetaOf(image v1.Image) (*builderMeta, *v1.Config, error) {
	file, err := image.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	labels := file.Config.Labels
	if labels[builderLabel] == "" {
		return nil, nil, &notBuilderError{"is not a builder of Cloud Native Buildpacks: it has no label " + builderLabel, "name a builder with builder= of buildpack(), such as paketobuildpacks/builder-jammy-base, and run again"}
	}
	meta := &builderMeta{}
	err = json.Unmarshal([]byte(labels[builderLabel]), meta)
	if text := labels[apisLabel]; text != "" && err == nil {
		err = json.Unmarshal([]byte(text), &meta.Lifecycle.APIs)
	}
	if err != nil {
		return nil, nil, &notBuilderError{fmt.Sprintf("has a label that cannot be read: %v", err), otherBuilder}
	}
	return meta, &file.Config, nil
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
