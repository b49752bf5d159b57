package runtimetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A SignaturesTest configures TestSignatures.
type SignaturesTest struct {
	Signatures runtime.Signatures
	// Push pushes a new image to the registry, and returns its reference by digest.
	Push func(t *testing.T) string
	// One and Other name two keys that the signatures have, and Missing one that they do not.
	One, Other, Missing plan.Signing
}

// TestSignatures checks the contract of [runtime.Signatures].
func TestSignatures(t *testing.T, st SignaturesTest) {
	s := st.Signatures
	unsigned := func(err error) bool {
		var is *runtime.UnsignedError
		return errors.As(err, &is)
	}
	one, err := s.Signer(t.Context(), st.One)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Signer(t.Context(), st.Other)
	if err != nil || other.String() == one.String() {
		t.Fatalf("Signer = %s, %v, want another one than %s", other, err, one)
	}
	if _, err := s.Signer(t.Context(), st.Missing); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("Signer of a missing key: %v, want ErrNotFound", err)
	}
	both := plan.Signers{Keys: slices.Concat(other.Keys, one.Keys), Identities: slices.Concat(other.Identities, one.Identities)}
	ref := st.Push(t)
	if err := s.Verify(t.Context(), ref, "", both); !unsigned(err) {
		t.Errorf("Verify of a new image: %v, want an UnsignedError", err)
	}
	for range 2 {
		if err := s.Sign(t.Context(), st.One, ref, discard); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Verify(t.Context(), ref, "", other); !unsigned(err) {
		t.Errorf("Verify with another key: %v, want an UnsignedError", err)
	}
	if err := s.Sign(t.Context(), st.Other, ref, discard); err != nil {
		t.Fatal(err)
	}
	for _, by := range []plan.Signers{one, other, both} {
		if err := s.Verify(t.Context(), ref, "", by); err != nil {
			t.Errorf("Verify = %v after the image was signed", err)
		}
	}
	if err := s.Verify(t.Context(), st.Push(t), "", one); !unsigned(err) {
		t.Errorf("Verify of another image: %v, want an UnsignedError", err)
	}
}
