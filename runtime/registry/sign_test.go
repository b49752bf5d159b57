package registry

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/sigstore/pkg/signature"
	sigpayload "github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Signing keeps the digest of the image and the signatures of others, and is not repeated (I15).
func TestSign(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *Registry, _ func()) {
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		_, edKey, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tag, digest := built(t, r, "signed", index(t))
		ref := runtime.ByDigest(tag, digest)
		keys := []crypto.Signer{newKey(t), rsaKey, edKey}
		repo := mustRef(t, ref).Context()
		sigTag := repo.Tag(strings.Replace(string(digest), ":", "-", 1) + ".sig")
		for i, key := range keys {
			mustVerify(t, r, ref, "", []crypto.Signer{key}, "signature")
			for range 2 {
				if err := r.Sign(t.Context(), ref, key, discard); err != nil {
					t.Fatal(err)
				}
			}
			for _, signer := range keys[:i+1] {
				mustVerify(t, r, ref, "", []crypto.Signer{signer})
			}
			img, err := remote.Image(sigTag)
			if err != nil {
				t.Fatal(err)
			}
			layers, err := img.Layers()
			if err != nil || len(layers) != i+1 {
				t.Fatalf("%d layers, %v, want %d", len(layers), err, i+1)
			}
			independently(t, img, layers[i], i, key.Public(), digest, repo.Name())
		}
		if is, err := r.Resolve(t.Context(), tag); err != nil || is != digest {
			t.Errorf("Resolve = %s, %v, want %s", is, err, digest)
		}
		// It is removed with the image (I6).
		if !is(t, sigTag.Name()) {
			t.Fatal("the signature has no tag")
		}
		if removed := pruned(t, r, Needs{}); len(removed) != 1 || removed[0] != digest {
			t.Fatalf("removed %v, want %s", removed, digest)
		}
		if is(t, sigTag.Name()) {
			t.Error("the signature is still there")
		}
	})
}

// independently verifies a signature with Sigstore's own library.
func independently(t *testing.T, img v1.Image, layer v1.Layer, i int, key crypto.PublicKey, digest plan.Digest, repo string) {
	t.Helper()
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(m.Layers[i].Annotations["dev.cosignproject.cosign/signature"])
	if err != nil {
		t.Fatal(err)
	}
	content, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	message, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)); err != nil {
		t.Errorf("the library does not verify the signature of a %T: %v", key, err)
	}
	var of sigpayload.Cosign
	if err := json.Unmarshal(message, &of); err != nil {
		t.Fatalf("the library does not read %s: %v", message, err)
	}
	if of.Image.DigestStr() != string(digest) || of.ClaimedIdentity != repo {
		t.Errorf("signed %s of %s, want %s of %s", of.Image.DigestStr(), of.ClaimedIdentity, digest, repo)
	}
}

// Processes that sign concurrently do not lose signatures: those of one key are equal, and
// that of another one is written again.
func TestSignConcurrently(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	digest := push(t, u.addr+"/web:1", image(t))
	ref := byDigest(u.addr, "web", digest)
	key := newKey(t)
	errs := make(chan error)
	for range 4 {
		r := newRegistry(t, u.addr)
		go func() { errs <- r.Sign(t.Context(), ref, key, discard) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	img, err := remote.Image(mustRef(t, u.addr+"/web:"+strings.Replace(string(digest), ":", "-", 1)+".sig"))
	if err != nil {
		t.Fatal(err)
	}
	if layers, err := img.Layers(); err != nil || len(layers) != 1 {
		t.Errorf("%d layers, %v, want 1", len(layers), err)
	}
	mustVerify(t, newRegistry(t, u.addr), ref, "", []crypto.Signer{key})
}

// A registry that does not take a signature, and what is at its tag already.
func TestSignRefused(t *testing.T) {
	t.Parallel()
	u, key := newUpstream(t), newKey(t)
	r := newRegistry(t, u.addr)
	digest := push(t, u.addr+"/web:1", image(t))
	ref := byDigest(u.addr, "web", digest)
	at := u.addr + "/web:" + strings.Replace(string(digest), ":", "-", 1) + ".sig"
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, ".sig") {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"tags are immutable"}]}`)
		return true
	})
	err := r.Sign(t.Context(), ref, key, discard)
	if err == nil || !strings.Contains(err.Error(), "write the signature of "+ref) || !strings.Contains(err.Error(), "tags are immutable") {
		t.Errorf("Sign = %v", err)
	}
	u.when(nil)
	push(t, at, index(t))
	err = r.Sign(t.Context(), ref, key, discard)
	if advice, ok := runtime.AdviceOf(err); !ok || !strings.Contains(advice.Do, "remove the tag "+at) {
		t.Errorf("Sign = %v with advice %v", err, advice)
	}
}
