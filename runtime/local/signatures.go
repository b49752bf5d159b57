package local

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// signatures sign with keys of the secrets that pipe is given, in the registry of a runtime. They
// keep what was verified: it is named by digest, and a signature does not become invalid.
type signatures struct {
	images  *registry.Registry
	secrets runtime.Secrets // nil: there are none
	// again retries something if the registry has died meanwhile.
	again func(ctx context.Context, what string, emit runtime.Emit, do func() error) error

	mu       sync.Mutex
	key      [2]string       // with its password; guarded by mu, as the rest is
	signer   crypto.Signer   // of key
	verified map[string]bool // by digest and keys
}

var _ runtime.Signatures = (*signatures)(nil)

func newSignatures(images *registry.Registry, secrets runtime.Secrets) *signatures {
	return &signatures{
		images: images, secrets: secrets, verified: make(map[string]bool),
		again: func(_ context.Context, _ string, _ runtime.Emit, do func() error) error { return do() },
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

// PublicKey implements [runtime.Signatures].
func (s *signatures) PublicKey(ctx context.Context, with plan.Signing) (string, error) {
	signer, err := s.find(ctx, with)
	if err != nil {
		return "", err
	}
	return plan.FormatPublicKey(signer.Public())
}

// Sign implements [runtime.Signatures].
func (s *signatures) Sign(ctx context.Context, with plan.Signing, ref string, emit runtime.Emit) error {
	signer, err := s.find(ctx, with)
	if err != nil {
		return err
	}
	return s.again(ctx, "sign "+ref, emit, func() error { return s.images.Sign(ctx, ref, signer, emit) })
}

// Verify implements [runtime.Signatures].
func (s *signatures) Verify(ctx context.Context, ref, src string, keys []string) error {
	_, _, digest := plan.CutImage(ref)
	known := digest + "\x00" + strings.Join(keys, "\x00")
	s.mu.Lock()
	ok := s.verified[known]
	s.mu.Unlock()
	if ok {
		return nil
	}
	parsed := make([]crypto.PublicKey, len(keys))
	for i, key := range keys {
		var err error
		if parsed[i], err = plan.ParsePublicKey(key); err != nil {
			return fmt.Errorf("a key of the plan: %w", err)
		}
	}
	var unsigned *runtime.UnsignedError
	err := s.again(ctx, "read the signatures of "+ref, func(runtime.Body) {}, func() error {
		err := s.images.Verify(ctx, ref, src, parsed)
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
