package local

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// signatures sign with keys of the secrets that pipe is given, or without a key, in the registry of a
// runtime. They keep what was verified: it is named by digest, and a signature does not become invalid.
type signatures struct {
	images   *registry.Registry
	secrets  runtime.Secrets // nil: there are none
	sigstore sigstore
	// again retries something if the registry has died meanwhile.
	again func(ctx context.Context, what string, emit runtime.Emit, do func() error) error

	mu       sync.Mutex
	key      [2]string       // with its password; guarded by mu, as the rest is
	signer   crypto.Signer   // of key
	verified map[string]bool // by digest and signers
}

var _ runtime.Signatures = (*signatures)(nil)

func newSignatures(images *registry.Registry, secrets runtime.Secrets, opts Options) *signatures {
	return &signatures{
		images: images, secrets: secrets, verified: make(map[string]bool),
		sigstore: sigstore{executable: opts.Executable, cache: filepath.Join(opts.Home, "sigstore")},
		again:    func(_ context.Context, _ string, _ runtime.Emit, do func() error) error { return do() },
	}
}

// value returns the value of a secret.
func (s *signatures) value(ctx context.Context, ref plan.SecretRef) (string, error) {
	if s.secrets == nil {
		return "", fmt.Errorf("secret %s: %w", refName(ref), runtime.ErrNotFound)
	}
	value, err := s.secrets.Secret(ctx, ref)
	return value.Reveal(), err
}

// find returns the key to sign with. Decrypting it takes time, so it is kept.
func (s *signatures) find(ctx context.Context, with plan.Signing) (crypto.Signer, error) {
	var key [2]string
	for i, ref := range with.Refs() {
		value, err := s.value(ctx, ref)
		if err != nil {
			return nil, err
		}
		key[i] = value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer == nil || s.key != key {
		signer, err := registry.ParseSigningKey(key[0], key[1])
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", refName(with.Key), err)
		}
		s.key, s.signer = key, signer
	}
	return s.signer, nil
}

// Signer implements [runtime.Signatures].
func (s *signatures) Signer(ctx context.Context, with plan.Signing) (plan.Signers, error) {
	if with.Keyless != nil {
		return plan.Signers{Identities: []plan.Identity{with.Keyless.Identity}}, s.sigstore.hasToken(ctx)
	}
	signer, err := s.find(ctx, with)
	if err != nil {
		return plan.Signers{}, err
	}
	key, err := plan.FormatPublicKey(signer.Public())
	return plan.Signers{Keys: []string{key}}, err
}

// Sign implements [runtime.Signatures].
func (s *signatures) Sign(ctx context.Context, with plan.Signing, ref string, emit runtime.Emit) error {
	if with.Keyless != nil {
		return s.signKeyless(ctx, *with.Keyless, ref, emit)
	}
	signer, err := s.find(ctx, with)
	if err != nil {
		return err
	}
	return s.again(ctx, "sign "+ref, emit, func() error { return s.images.Sign(ctx, ref, signer, emit) })
}

// signKeyless signs an image without a key, unless the identity has signed it already. It verifies what
// it has written, so that what others read is known to count.
func (s *signatures) signKeyless(ctx context.Context, as plan.Keyless, ref string, emit runtime.Emit) error {
	by := plan.Signers{Identities: []plan.Identity{as.Identity}}
	err := s.Verify(ctx, ref, "", by)
	var unsigned *runtime.UnsignedError
	if !errors.As(err, &unsigned) {
		return err
	}
	_, _, digest := plan.CutImage(ref)
	bundle, err := s.sigstore.sign(ctx, plan.Digest(digest), as)
	if err != nil {
		return err
	}
	if err := s.again(ctx, "sign "+ref, emit, func() error { return s.images.AddBundle(ctx, ref, bundle, emit) }); err != nil {
		return err
	}
	if err := s.Verify(ctx, ref, "", by); err != nil {
		return fmt.Errorf("read the signature that was written: %w", err)
	}
	return nil
}

// Verify implements [runtime.Signatures].
func (s *signatures) Verify(ctx context.Context, ref, src string, by plan.Signers) error {
	_, _, digest := plan.CutImage(ref)
	known := digest + "\x00" + by.String()
	s.mu.Lock()
	ok := s.verified[known]
	s.mu.Unlock()
	if ok {
		return nil
	}
	signers := registry.Signers{Keys: make([]crypto.PublicKey, len(by.Keys))}
	for i, key := range by.Keys {
		var err error
		if signers.Keys[i], err = plan.ParsePublicKey(key); err != nil {
			return fmt.Errorf("a key of the plan: %w", err)
		}
	}
	if len(by.Identities) > 0 {
		signers.Keyless = func(ctx context.Context, image plan.Digest, bundles [][]byte) ([]string, error) {
			return s.sigstore.verify(ctx, image, by.Identities, bundles)
		}
	}
	var unsigned *runtime.UnsignedError
	err := s.again(ctx, "read the signatures of "+ref, func(runtime.Body) {}, func() error {
		err := s.images.Verify(ctx, ref, src, signers)
		if errors.As(err, &unsigned) { // the registry has answered
			return nil
		}
		return err
	})
	if err == nil && unsigned != nil {
		return unsigned
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.verified[known] = true
	}
	return err
}
