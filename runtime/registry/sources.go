package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pipelinefile/pipe/internal/mirrors"
	"github.com/pipelinefile/pipe/runtime"
)

// sources returns where an image of another registry is read, in the order in which it is
// tried: registries.conf may say that its registry is read from elsewhere. The file is read
// each time, because watch mode goes on for days.
func (r *Registry) sources(ref name.Reference) ([]name.Reference, error) {
	if r.own(ref.Context()) {
		return []name.Reference{ref}, nil
	}
	elsewhere, err := mirrors.Read(r.registries)
	if err != nil {
		return nil, &configError{err}
	}
	of, ok := elsewhere.Registry(ref.Context().RegistryStr())
	if !ok {
		return []name.Reference{ref}, nil
	}
	var all []name.Reference
	for _, place := range of.Places() {
		text := place.String() + "/" + ref.Context().RepositoryStr()
		if _, isDigest := ref.(name.Digest); isDigest {
			text += "@" + ref.Identifier()
		} else {
			text += ":" + ref.Identifier()
		}
		source, err := r.parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, source)
	}
	return all, nil
}

// A located is the answer to a lookup in several places.
type located struct {
	digest  v1.Hash
	sources []name.Reference // that has it, and those after it
}

// find looks up an image of any registry, in each place where it may be read until one has it.
// If none has it, the error is that of the last one, for which ref is returned.
func (r *Registry) find(ctx context.Context, image name.Reference, emit runtime.Emit) (f located, ref name.Reference, err error) {
	f.sources, f.digest, ref, err = inPlaces(ctx, r, image, func(source name.Reference) (v1.Hash, error) { return r.head(ctx, source, emit) })
	return f, ref, err
}

// inPlaces calls read for each place where an image may be read until one has it, and returns that place
// and those after it. If none has it, the error is that of the last one, for which ref is returned.
func inPlaces[T any](ctx context.Context, r *Registry, image name.Reference, read func(source name.Reference) (T, error)) (from []name.Reference, found T, ref name.Reference, err error) {
	all, err := r.sources(image)
	if err != nil {
		return nil, found, image, err
	}
	var before []string
	for i, source := range all {
		if found, err = read(source); err == nil {
			return all[i:], found, source, nil
		}
		if ctx.Err() != nil || i == len(all)-1 {
			if len(before) > 0 {
				err = &afterOthers{err, strings.Join(before, "; ")}
			}
			return nil, found, source, err
		}
		before = append(before, r.explain(ctx, source, err).Error())
	}
	return nil, found, image, errors.New("it is read nowhere")
}

// A configError says that registries.conf cannot be used.
type configError struct{ error }

func (e *configError) Unwrap() error { return e.error }

// Advice says what to write instead.
func (e *configError) Advice() runtime.Advice {
	return runtime.Advice{Do: mirrors.Next(e.error)}
}

// An afterOthers is the error of the last place where an image was looked up.
type afterOthers struct {
	error
	others string // the errors of those before it
}

func (e *afterOthers) Unwrap() error { return e.error }

// explainFound is explain for an error of find.
func (r *Registry) explainFound(ctx context.Context, ref name.Reference, err error) error {
	var config *configError
	if errors.As(err, &config) {
		return config
	}
	explained := r.explain(ctx, ref, err)
	var after *afterOthers
	if errors.As(err, &after) && ctx.Err() == nil {
		return fmt.Errorf("%w; before it, its mirrors of %s: %s", explained, r.registries, after.others)
	}
	return explained
}
