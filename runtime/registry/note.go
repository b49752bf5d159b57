package registry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A note is an empty image beside one that pipe builds or copies, at the tag of that image
// with a suffix. It says that pipe wrote the image, and when: registries do not say it. An
// image without a note is never removed by [Registry.Prune], because it may be somebody
// else's.
const (
	noteSuffix = ".made"
	noteAt     = "io.github.pipelinefile.made.at"
	// noteInputs are its inputs, as compressed JSON, and noteBases its base images, as JSON.
	noteInputs = "io.github.pipelinefile.made.inputs"
	noteBases  = "io.github.pipelinefile.made.bases"

	// maxInputs is the size of inputs that are noted, and that of base images; registries
	// accept manifests of 4 MiB.
	maxInputs = 1 << 20
)

// Made is what is noted of an image that pipe has built or copied.
type Made struct {
	At time.Time // zero: not known
	// Inputs are what it is built from; nil: not known.
	Inputs *runtime.ImageInputs
	// Bases are the images of other registries that it is built from; nil: not known.
	Bases []runtime.BaseImage
}

// Note writes the note of the image at a tag, as it is made now; m.At is not used. It is
// written before the image is complete, so that no image lacks it because a process has died,
// and again when more is known.
func (r *Registry) Note(ctx context.Context, ref string, m Made) error {
	image, err := r.parse(ref)
	if err != nil {
		return err
	}
	annotations := map[string]string{noteAt: time.Now().UTC().Format(time.RFC3339)}
	if m.Inputs != nil {
		text, err := packed(m.Inputs)
		if err != nil {
			return err
		}
		if len(text) <= maxInputs {
			annotations[noteInputs] = text
		}
	}
	if m.Bases != nil {
		text, err := json.Marshal(m.Bases)
		if err != nil {
			return err
		}
		if len(text) <= maxInputs {
			annotations[noteBases] = string(text)
		}
	}
	tag := image.Context().Tag(image.Identifier() + noteSuffix)
	if err := r.writeAnnotated(ctx, tag, annotations); err != nil {
		return r.explain(ctx, tag, err)
	}
	return nil
}

// packed returns inputs, or something else that JSON can have, as an annotation has them.
func packed(inputs any) (string, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if err := json.NewEncoder(zip).Encode(inputs); err != nil {
		return "", err
	}
	if err := zip.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// unpacked returns the inputs of an annotation, which may be anything.
func unpacked(text string) (*runtime.ImageInputs, error) {
	inputs := &runtime.ImageInputs{}
	if err := unpack(text, inputs); err != nil {
		return nil, err
	}
	return inputs, nil
}

// unpack reads what packed has written.
func unpack(text string, into any) error {
	zip, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
	if err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(zip, 16*maxInputs)).Decode(into)
}

// Made returns the note of an image, which is named by digest. Without one the error is
// ErrNotFound.
func (r *Registry) Made(ctx context.Context, byDigest string) (Made, error) {
	image, digest, err := r.parseDigest(byDigest)
	if err != nil {
		return Made{}, err
	}
	repo := image.Context()
	of, err := r.identity(ctx, repo, digest, noteSuffix)
	if err != nil {
		return Made{}, err
	}
	if of == "" {
		return Made{}, fmt.Errorf("what %s is built from: %w", show(image), runtime.ErrNotFound)
	}
	annotations, err := r.readAnnotated(ctx, repo.Tag(of+noteSuffix))
	if err != nil {
		return Made{}, r.explain(ctx, repo.Tag(of+noteSuffix), err)
	}
	m, err := madeOf(annotations)
	if err != nil {
		return Made{}, fmt.Errorf("the note of %s is damaged: %w", show(image), err)
	}
	return m, nil
}

// identity returns the identity of an image in a repository that has a tag beside it, with a suffix; ""
// if there is none.
func (r *Registry) identity(ctx context.Context, repo name.Repository, image v1.Hash, suffix string) (of string, err error) {
	tags, err := r.tagsOf(ctx, repo)
	if err != nil {
		return "", err
	}
	var noted []string
	for _, tag := range tags {
		if isIdentityTag(tag) && slices.Contains(tags, tag+suffix) {
			noted = append(noted, tag)
		}
	}
	var mu sync.Mutex
	err = inParallel(ctx, noted, func(ctx context.Context, tag string) error {
		digest, err := r.head(ctx, repo.Tag(tag), discard)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return r.explain(ctx, repo.Tag(tag), err)
		}
		if digest == image {
			mu.Lock()
			defer mu.Unlock()
			of = max(of, tag)
		}
		return nil
	})
	return of, err
}

// madeOf reads the annotations of a note, which may be anything.
func madeOf(annotations map[string]string) (m Made, err error) {
	m.At, _ = time.Parse(time.RFC3339, annotations[noteAt]) // zero: not known
	if text := annotations[noteInputs]; text != "" {
		if m.Inputs, err = unpacked(text); err != nil {
			return Made{}, err
		}
	}
	if text := annotations[noteBases]; text != "" {
		if err := json.Unmarshal([]byte(text), &m.Bases); err != nil {
			return Made{}, err
		}
		for _, base := range m.Bases { // they are shown, and looked up
			if _, err := name.ParseReference(base.Image); err != nil || !base.Digest.Valid() {
				return Made{}, fmt.Errorf("%q is not an image with a digest", base.Image+"@"+string(base.Digest))
			}
		}
	}
	return m, nil
}

// annotated returns an empty image with annotations.
func annotated(annotations map[string]string) v1.Image {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, _ = mutate.Annotations(img, annotations).(v1.Image)
	return img
}

// writeAnnotated writes an empty image with annotations. A part of it that is there already
// may be damaged, which the embedded registry detects when the image is complete.
func (r *Registry) writeAnnotated(ctx context.Context, tag name.Tag, annotations map[string]string) error {
	for again := false; ; again = true {
		err := r.putAnnotated(ctx, tag, annotations)
		if err == nil {
			_, err = r.head(ctx, tag, discard)
		}
		if !isNotFound(err) || again {
			return err
		}
		r.keepConfig(tag.Context(), false)
	}
}

// putAnnotated is writeAnnotated without the check. All these images have the same config, which is
// sent to each repository once.
func (r *Registry) putAnnotated(ctx context.Context, tag name.Tag, annotations map[string]string) error {
	repo, image := tag.Context(), annotated(annotations)
	write := func(there bool) error {
		return r.write(ctx, "write "+show(tag), discard, func(ctx context.Context, p *remote.Pusher) error {
			if !there {
				config, err := partial.ConfigLayer(image)
				if err == nil {
					err = p.Upload(ctx, repo, config)
				}
				if err != nil {
					return err
				}
			}
			return p.Put(ctx, tag, image)
		})
	}
	if r.hasConfig(repo) {
		var answer *transport.Error
		if err := write(true); !errors.As(err, &answer) || !lost(answer) {
			return err
		} // it was removed meanwhile
	}
	err := write(false)
	r.keepConfig(repo, err == nil)
	return err
}

func (r *Registry) hasConfig(repo name.Repository) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.configs[repo]
}

// keepConfig notes whether a repository has the config of empty images.
func (r *Registry) keepConfig(repo name.Repository, has bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.configs[repo] = has
}

// readAnnotated returns the annotations of what is at a tag, or nil if nothing is.
func (r *Registry) readAnnotated(ctx context.Context, tag name.Tag) (annotations map[string]string, err error) {
	found, err := r.manifest(ctx, tag, discard)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(found.raw, &m); err != nil {
		return nil, fmt.Errorf("%s is not a note of pipe", show(tag))
	}
	if m.Annotations == nil {
		return map[string]string{}, nil
	}
	return m.Annotations, nil
}

// A Cluster is a cluster whose environments use images of a registry.
type Cluster struct {
	// ID identifies it: what [Registry.Join] was called with.
	ID   string    `json:"id"`
	Name string    `json:"name"` // for people, such as the address of its API server
	At   time.Time `json:"at"`
}

// The clusters that use a registry are noted in a repository that no image has: nothing is
// mirrored from a host without a dot.
const (
	rosterPath  = "/mirror/clusters"
	clusterName = "io.github.pipelinefile.cluster.name"
	clusterAt   = "io.github.pipelinefile.cluster.at"
)

func (r *Registry) roster() (name.Repository, error) {
	ref, err := r.parse(r.prefix + rosterPath + ":tag")
	if err != nil {
		return name.Repository{}, err
	}
	return ref.Context(), nil
}

// Join notes that the environments of a cluster use images of this registry, unless that is
// noted already: then it makes one request. A run calls it before it looks for images, so that
// who prunes the registry elsewhere knows of the cluster.
func (r *Registry) Join(ctx context.Context, c Cluster) error {
	if !plan.IsTag(c.ID) {
		return fmt.Errorf("%q does not identify a cluster", c.ID)
	}
	repo, err := r.roster()
	if err != nil {
		return err
	}
	tag := repo.Tag(c.ID)
	_, err = r.head(ctx, tag, discard)
	if isNotFound(err) || isRefused(err) {
		err = r.writeAnnotated(ctx, tag, map[string]string{clusterName: c.Name, clusterAt: c.At.UTC().Format(time.RFC3339)})
	}
	if err != nil {
		return r.explain(ctx, tag, err)
	}
	return nil
}

// Clusters returns the clusters that have joined.
func (r *Registry) Clusters(ctx context.Context) ([]Cluster, error) {
	repo, err := r.roster()
	if err != nil {
		return nil, err
	}
	tags, err := r.tagsOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	var all []Cluster
	for _, tag := range tags {
		if isBeside(tag) { // the claim of a prune
			continue
		}
		noted, err := r.readAnnotated(ctx, repo.Tag(tag))
		if err != nil {
			return nil, r.explain(ctx, repo.Tag(tag), err)
		}
		if noted == nil { // forgotten meanwhile
			continue
		}
		at, _ := time.Parse(time.RFC3339, noted[clusterAt]) // zero: not known
		all = append(all, Cluster{ID: tag, Name: noted[clusterName], At: at})
	}
	return all, nil
}

// Forget removes the note of a cluster.
func (r *Registry) Forget(ctx context.Context, id string) error {
	repo, err := r.roster()
	if err != nil {
		return err
	}
	return r.untag(ctx, repo.Tag(id))
}

// tagsOf returns all tags of a repository. One that does not exist has none.
func (r *Registry) tagsOf(ctx context.Context, repo name.Repository) (tags []string, err error) {
	err = r.try(ctx, discard, "list the tags of "+repo.Name(), func(ctx context.Context, s *session) error {
		tags, err = s.puller.List(ctx, repo)
		if isNotFound(err) {
			tags, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, r.explain(ctx, repo.Tag("latest"), err)
	}
	return tags, nil
}

// isBeside reports whether a tag is one that pipe writes beside that of an image.
func isBeside(tag string) bool {
	return strings.HasSuffix(tag, noteSuffix) || strings.HasSuffix(tag, claimSuffix) || strings.HasSuffix(tag, provenanceSuffix)
}
