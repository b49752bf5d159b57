package registry

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/runtime"
)

// signTries is how often a signature is written again after another process has overwritten it.
const signTries = 5

// Sign signs the image at ref, which names it by digest, unless it has a signature of the key (I15).
// It writes the older format of cosign, which all versions of cosign verify, and keeps existing
// signatures. Signatures of one key are equal, so that several processes may sign one image.
func (r *Registry) Sign(ctx context.Context, ref string, key crypto.Signer, emit runtime.Emit) error {
	image, digest, err := r.parseDigest(ref)
	if err != nil {
		return err
	}
	message, signature, err := signatureOf(image.Context(), digest, key)
	if err != nil {
		return fmt.Errorf("sign image %s: %w", show(image), err)
	}
	layer := mutate.Addendum{
		Layer: static.NewLayer(message, simpleSigning), MediaType: simpleSigning,
		Annotations: map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(signature)},
	}
	tag := image.Context().Tag(refTag(digest) + signatureSuffix)
	v := &verification{Registry: r, image: digest, by: Signers{Keys: []crypto.PublicKey{key.Public()}}}
	signed := v.at
	for try := 0; ; try++ {
		ok, err := signed(ctx, image.Context())
		signed = v.tagged
		if ok {
			return nil
		}
		if err == nil && try == signTries {
			return &foreignSignatureError{tag, "what was written is not there: other processes write signatures, or the registry has lost a part of it"}
		}
		if err == nil {
			err = r.addSignature(ctx, tag, layer, emit)
		}
		var foreign *foreignSignatureError
		if errors.As(err, &foreign) {
			return foreign
		}
		if err != nil {
			return fmt.Errorf("write the signature of %s: %w", show(image), r.explain(ctx, tag, err))
		}
	}
}

// A foreignSignatureError means that a signature cannot be added to what is at its tag.
type foreignSignatureError struct {
	tag name.Tag
	why string
}

func (e *foreignSignatureError) Error() string {
	return fmt.Sprintf("no signature can be added at tag %s, because %s", show(e.tag), e.why)
}

// Advice says what to do about it.
func (e *foreignSignatureError) Advice() runtime.Advice {
	return runtime.Advice{Do: "remove the tag " + show(e.tag) + ", and with it the signatures of others, and run again"}
}

// addSignature adds a layer to the signatures at a tag.
func (r *Registry) addSignature(ctx context.Context, tag name.Tag, layer mutate.Addendum, emit runtime.Emit) error {
	var base v1.Image
	raw, err := r.readSmall(ctx, tag.Context(), "manifests/"+tag.TagStr(), maxSignatureManifest)
	var large *tooLargeError
	switch {
	case errors.As(err, &large):
		return &foreignSignatureError{tag, large.Error()}
	case isNotFound(err):
		base = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	case err != nil:
		return err
	default:
		var m v1.Manifest
		if json.Unmarshal(raw, &m) != nil || !m.MediaType.IsImage() || m.Config.Size > maxBundle {
			return &foreignSignatureError{tag, "it is not a manifest of signatures"}
		}
		if len(m.Layers) >= maxSignatures {
			return &foreignSignatureError{tag, fmt.Sprintf("it has %d signatures", len(m.Layers))}
		}
		for _, there := range m.Layers {
			if there.Annotations[signatureAnnotation] == layer.Annotations[signatureAnnotation] {
				return nil // another process has written it
			}
		}
		found, err := r.get(ctx, tag, emit)
		if err != nil {
			return err
		}
		if base, err = found.Image(); err != nil {
			return err
		}
	}
	signed, err := mutate.Append(base, layer)
	if err != nil {
		return err
	}
	return r.write(ctx, "write "+show(tag), emit, func(ctx context.Context, p *remote.Pusher) error { return p.Push(ctx, tag, signed) })
}

// signatureOf returns what is signed, and the signature.
func signatureOf(repo name.Repository, digest v1.Hash, key crypto.Signer) (message, signature []byte, err error) {
	var p payload
	p.Critical.Identity.Reference = repo.Name()
	p.Critical.Image.Digest = digest.String()
	p.Critical.Type = signatureType
	if message, err = json.Marshal(p); err != nil {
		return nil, nil, err
	}
	// Without a source of randomness, the signatures of ECDSA are deterministic (RFC 6979).
	if _, ok := key.(ed25519.PrivateKey); ok {
		signature, err = key.Sign(nil, message, crypto.Hash(0))
	} else {
		hash := sha256.Sum256(message)
		signature, err = key.Sign(nil, hash[:], crypto.SHA256)
	}
	return message, signature, err
}
