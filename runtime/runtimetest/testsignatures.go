package runtimetest

import (
	"errors"
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
	one, err := s.PublicKey(t.Context(), st.One)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.PublicKey(t.Context(), st.Other)
	if err != nil || other == one {
		t.Fatalf("PublicKey = %q, %v, want another one than %q", other, err, one)
	}
	if _, err := s.PublicKey(t.Context(), st.Missing); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("PublicKey of a missing key: %v, want ErrNotFound", err)
	}
	ref := st.Push(t)
	if err := s.Verify(t.Context(), ref, "", []string{one, other}); !unsigned(err) {
		t.Errorf("Verify of a new image: %v, want an UnsignedError", err)
	}
	for range 2 {
		if err := s.Sign(t.Context(), st.One, ref, discard); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Verify(t.Context(), ref, "", []string{other}); !unsigned(err) {
		t.Errorf("Verify with another key: %v, want an UnsignedError", err)
	}
	if err := s.Sign(t.Context(), st.Other, ref, discard); err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]string{{one}, {other}, {other, one}} {
		if err := s.Verify(t.Context(), ref, "", keys); err != nil {
			t.Errorf("Verify = %v after the image was signed", err)
		}
	}
	if err := s.Verify(t.Context(), st.Push(t), "", []string{one}); !unsigned(err) {
		t.Errorf("Verify of another image: %v, want an UnsignedError", err)
	}
}
