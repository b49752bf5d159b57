package registry

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Signers are those of whom an image must have a signature.
type Signers struct {
	Keys []crypto.PublicKey
	// Keyless returns why none of some bundles, which have certificates instead of keys, is a signature
	// of an image by an identity that counts, or nothing if one is. Nil: no identity counts.
	Keyless func(ctx context.Context, image plan.Digest, bundles [][]byte) (found []string, err error)
}

// Verify returns nil if the image at ref, which names it by digest, has a signature of one of
// the signers (I16). It reads the signatures beside the image and, if src is not empty, beside the
// image of that name, which was copied. If none counts, the error is a *[runtime.UnsignedError].
func (r *Registry) Verify(ctx context.Context, ref, src string, by Signers) error {
	image, digest, err := r.parseDigest(ref)
	if err != nil {
		return err
	}
	places := []name.Reference{image}
	if !r.own(image.Context()) {
		src = ref
		places = nil
	}
	if src != "" {
		from, err := r.parse(src)
		if err != nil {
			return err
		}
		sources, err := r.sources(from.Context().Digest(digest.String()))
		if err != nil {
			return r.explainFound(ctx, from, err)
		}
		places = append(places, sources...)
	}
	v := &verification{Registry: r, image: digest, by: by}
	var failed error
	for i, place := range places {
		ok, err := v.at(ctx, place.Context())
		if ok {
			return nil
		}
		if err == nil {
			continue
		}
		if not := (*keylessError)(nil); errors.As(err, &not) {
			return not.error
		}
		err = r.explain(ctx, place, err)
		if i == 0 && len(places) > 1 && errors.Is(err, runtime.ErrNotFound) {
			continue // it is not copied yet: some registries refuse access to what does not exist
		}
		failed = err
	}
	if failed != nil {
		return failed
	}
	return &runtime.UnsignedError{Image: show(image), Found: v.found}
}

// A verification looks for a signature of an image.
type verification struct {
	*Registry
	image v1.Hash
	by    Signers
	found []string // why signatures do not count, each reason once
}

// A keylessError means that signatures without a key cannot be verified. It is not about the registry.
type keylessError struct{ error }

// maxReasons is how many reasons an error has.
const maxReasons = 5

func (v *verification) reject(why error) {
	if text := why.Error(); !slices.Contains(v.found, text) && len(v.found) < maxReasons {
		v.found = append(v.found, text)
	}
}

// at looks for a signature in one repository.
func (v *verification) at(ctx context.Context, repo name.Repository) (bool, error) {
	ok, err := v.tagged(ctx, repo)
	if ok {
		return true, nil
	}
	listed, failed := v.listed(ctx, repo)
	return listed, errors.Join(err, failed)
}

// tagged looks for a signature at the tag of older versions of cosign.
func (v *verification) tagged(ctx context.Context, repo name.Repository) (bool, error) {
	m, err := v.signatures(ctx, repo, refTag(v.image)+signatureSuffix)
	if err != nil || m == nil {
		return false, err
	}
	for _, layer := range m.Layers {
		signature := layer.Annotations[signatureAnnotation]
		if layer.MediaType != simpleSigning || signature == "" {
			continue
		}
		if layer.Annotations[certificateAnnotation] != "" && v.by.Keyless != nil {
			v.reject(errOldKeyless)
			continue
		}
		message, err := v.part(ctx, repo, layer, maxPayload)
		if err != nil {
			return false, err
		}
		if message == nil {
			continue
		}
		why := checkPayload(v.image, v.by.Keys, message, signature)
		if why == nil {
			return true, nil
		}
		v.reject(why)
	}
	return false, nil
}

// listed looks for a signature among what refers to the image. Those without a key are verified last,
// together.
func (v *verification) listed(ctx context.Context, repo name.Repository) (bool, error) {
	ok, keyless, err := v.bundles(ctx, repo)
	if ok || err != nil || len(keyless) == 0 {
		return ok, err
	}
	if v.by.Keyless == nil {
		v.reject(errKeyless)
		return false, nil
	}
	found, err := v.by.Keyless(ctx, plan.Digest(v.image.String()), keyless)
	if err != nil {
		return false, &keylessError{err}
	}
	for _, why := range found {
		v.reject(errors.New(why))
	}
	return len(found) == 0, nil
}

// bundles looks for a signature of a key among what refers to the image. It returns the bundles that have
// a certificate instead.
func (v *verification) bundles(ctx context.Context, repo name.Repository) (ok bool, keyless [][]byte, err error) {
	c := &copier{registry: v.Registry, from: repo, emit: discard}
	all, err := c.listed(ctx, v.image, nil)
	if err != nil {
		return false, nil, err
	}
	all = slices.DeleteFunc(all, func(d v1.Descriptor) bool { return !mayBeBundle(d.ArtifactType) })
	if len(all) > maxSignatures {
		v.reject(fmt.Errorf("it has more than %d signatures", maxSignatures))
		all = all[:maxSignatures]
	}
	read, size := 0, 0
	for _, d := range all {
		m, err := v.signatures(ctx, repo, d.Digest.String())
		if err != nil {
			return false, nil, err
		}
		if m == nil {
			continue
		}
		for _, layer := range m.Layers {
			if !strings.HasPrefix(string(layer.MediaType), bundleType) {
				continue
			}
			if read++; read > maxSignatures { // of all manifests together: each may have many
				v.reject(fmt.Errorf("it has more than %d signatures", maxSignatures))
				return false, keyless, nil
			}
			raw, err := v.part(ctx, repo, layer, maxBundle)
			if err != nil {
				return false, nil, err
			}
			if raw == nil {
				continue
			}
			if hasCertificate(raw) {
				if size += len(raw); size > maxBundles {
					v.reject(fmt.Errorf("it has more than %d MiB of signatures", maxBundles>>20))
					return false, keyless, nil
				}
				keyless = append(keyless, raw)
				continue
			}
			why := checkBundle(v.image, v.by.Keys, raw)
			if why == nil {
				return true, nil, nil
			}
			v.reject(why)
		}
	}
	return false, keyless, nil
}

// mayBeBundle reports whether a manifest that is listed with a type may be a bundle. Some registries
// list the type of the config instead, which is that of an empty one.
func mayBeBundle(kind string) bool {
	return strings.HasPrefix(kind, bundleType) || kind == emptyType || kind == ""
}

// signatures reads a manifest of signatures. It returns nil if there is none, or it is not one.
func (v *verification) signatures(ctx context.Context, repo name.Repository, ref string) (*v1.Manifest, error) {
	raw, err := v.readSmall(ctx, repo, "manifests/"+ref, maxSignatureManifest)
	if isNotFound(err) {
		return nil, nil
	}
	var large *tooLargeError
	if errors.As(err, &large) {
		v.reject(fmt.Errorf("%s: %w", ref, large))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &v1.Manifest{}
	if json.Unmarshal(raw, m) != nil {
		v.reject(fmt.Errorf("%s is not a manifest of signatures", ref))
		return nil, nil
	}
	if digest, ok := strings.CutPrefix(ref, "sha256:"); ok && string(plan.DigestOf(raw)) != "sha256:"+digest {
		v.reject(fmt.Errorf("%s: its content does not match its digest", ref))
		return nil, nil
	}
	if len(m.Layers) > maxSignatures {
		v.reject(fmt.Errorf("%s has more than %d signatures", ref, maxSignatures))
		m.Layers = m.Layers[:maxSignatures]
	}
	return m, nil
}

// part reads a layer. It returns nil if its content cannot be a signature.
func (v *verification) part(ctx context.Context, repo name.Repository, layer v1.Descriptor, limit int64) ([]byte, error) {
	if layer.Size > limit {
		v.reject(fmt.Errorf("a signature has more than %d KiB", limit>>10))
		return nil, nil
	}
	raw, err := v.readSmall(ctx, repo, "blobs/"+layer.Digest.String(), limit)
	var large *tooLargeError
	switch {
	case isNotFound(err):
		v.reject(errors.New("the registry has lost a signature"))
		return nil, nil
	case errors.As(err, &large):
		v.reject(large)
		return nil, nil
	case err != nil:
		return nil, err
	case string(plan.DigestOf(raw)) != layer.Digest.String():
		v.reject(errors.New("the content of a signature does not match its digest"))
		return nil, nil
	}
	return raw, nil
}

// A tooLargeError means that an answer is larger than what is read.
type tooLargeError struct{ limit int64 }

func (e *tooLargeError) Error() string { return fmt.Sprintf("it has more than %d KiB", e.limit>>10) }

// readSmall reads what is at a path of a repository, which must not be longer than limit.
func (r *Registry) readSmall(ctx context.Context, repo name.Repository, path string, limit int64) (body []byte, err error) {
	at := fmt.Sprintf("%s://%s/v2/%s/%s", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr(), path)
	err = r.try(ctx, discard, "read "+path+" of "+repo.Name(), func(ctx context.Context, s *session) error {
		client, err := r.client(ctx, s, repo, repo.Scope(transport.PullScope))
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			return err
		}
		if strings.HasPrefix(path, "manifests/") {
			request.Header.Set("Accept", string(types.OCIManifestSchema1)+", "+string(types.DockerManifestSchema2))
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if err := transport.CheckError(answer, http.StatusOK); err != nil {
			return err
		}
		body, err = io.ReadAll(io.LimitReader(answer.Body, limit+1))
		if err == nil && int64(len(body)) > limit {
			return &tooLargeError{limit}
		}
		return err
	})
	return body, err
}
