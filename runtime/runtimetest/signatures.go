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

// Signatures keep who has signed which image. The public key of a key is the name of its secret, and
// an identity is its name; it can sign if its name is given as a secret is.
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

// Signer implements [runtime.Signatures].
func (s *Signatures) Signer(ctx context.Context, with plan.Signing) (plan.Signers, error) {
	name := with.Key.Name
	if with.Keyless != nil {
		name = with.Keyless.Name
	}
	if err := s.world.step(ctx, "Signatures.Signer", name); err != nil {
		return plan.Signers{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.have[name] && with.Keyless == nil:
		return plan.Signers{Keys: []string{name}}, nil
	case s.have[name]:
		return plan.Signers{Identities: []plan.Identity{with.Keyless.Identity}}, nil
	case with.Keyless != nil:
		return plan.Signers{Identities: []plan.Identity{with.Keyless.Identity}}, fmt.Errorf("an identity token: %w", runtime.ErrNotFound)
	}
	return plan.Signers{}, fmt.Errorf("secret %s: %w", name, runtime.ErrNotFound)
}

// Sign implements [runtime.Signatures].
func (s *Signatures) Sign(ctx context.Context, with plan.Signing, ref string, _ runtime.Emit) error {
	signer, err := s.Signer(ctx, with)
	if err != nil {
		return err
	}
	key := with.Key.Name
	if len(signer.Keys) == 0 {
		key = with.Keyless.Name
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
func (s *Signatures) Verify(ctx context.Context, ref, _ string, signers plan.Signers) error {
	if err := s.world.step(ctx, "Signatures.Verify", ref); err != nil {
		return err
	}
	_, digest := cut(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, by := range s.by[digest] {
		if slices.Contains(signers.Keys, by) || slices.ContainsFunc(signers.Identities, func(i plan.Identity) bool { return i.Name == by }) {
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
