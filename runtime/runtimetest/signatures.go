package runtimetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

var _ runtime.Signatures = (*Signatures)(nil)

// Signatures keep who has signed which image. The public key of a key is the name of its secret.
type Signatures struct {
	world *World

	mu   sync.Mutex
	have map[string]bool     // secrets that are given to the runtime
	by   map[string][]string // by digest
}

// Give gives the runtime the secret of a key.
func (s *Signatures) Give(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have[name] = true
}

// Add signs the image with a digest, as another tool would.
func (s *Signatures) Add(digest plan.Digest, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[string(digest)] = append(s.by[string(digest)], key)
}

// PublicKey implements [runtime.Signatures].
func (s *Signatures) PublicKey(ctx context.Context, with plan.Signing) (string, error) {
	if err := s.world.step(ctx, "Signatures.PublicKey", with.Key.Name); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.have[with.Key.Name] {
		return "", fmt.Errorf("secret %s: %w", with.Key.Name, runtime.ErrNotFound)
	}
	return with.Key.Name, nil
}

// Sign implements [runtime.Signatures].
func (s *Signatures) Sign(ctx context.Context, with plan.Signing, ref string, _ runtime.Emit) error {
	key, err := s.PublicKey(ctx, with)
	if err != nil {
		return err
	}
	if err := s.world.step(ctx, "Signatures.Sign", ref); err != nil {
		return err
	}
	_, digest := cut(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.by[digest], key) {
		s.by[digest] = append(s.by[digest], key)
	}
	return nil
}

// Verify implements [runtime.Signatures].
func (s *Signatures) Verify(ctx context.Context, ref, _ string, keys []string) error {
	if err := s.world.step(ctx, "Signatures.Verify", ref); err != nil {
		return err
	}
	_, digest := cut(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, by := range s.by[digest] {
		if slices.Contains(keys, by) {
			return nil
		}
	}
	unsigned := &runtime.UnsignedError{Image: ref}
	if len(s.by[digest]) > 0 {
		unsigned.Found = []string{"another key has signed it"}
	}
	return unsigned
}

func cut(ref string) (name, digest string) {
	name, _, digest = plan.CutImage(ref)
	return name, digest
}
