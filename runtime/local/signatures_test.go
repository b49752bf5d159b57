package local

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

func privateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestSignatures: keys are those of secrets (I15, I16).
func TestSignatures(t *testing.T) {
	t.Parallel()
	addr := testenv.Registry(t)
	images, err := registry.New(registry.Options{Prefix: addr})
	if err != nil {
		t.Fatal(err)
	}
	indented := func(key string) string { return strings.ReplaceAll(key, "\n", "\n  ") }
	s := newSignatures(images, Secrets{source(t, "s.yaml", "one: |\n  "+indented(privateKey(t))+"\nother: |\n  "+indented(privateKey(t))+"\nwrong: hunter2-hunter2\n")}, Options{})
	key := func(name string) plan.Signing { return plan.Signing{Key: plan.SecretRef{Name: name}} }
	push := func(t *testing.T) string { return pushImage(t, addr+"/signatures/web:1") }
	runtimetest.TestSignatures(t, runtimetest.SignaturesTest{Signatures: s, Push: push, One: key("one"), Other: key("other"), Missing: key("missing")})

	_, err = s.Signer(t.Context(), key("wrong"))
	if err == nil || !strings.HasPrefix(err.Error(), "secret wrong: it is not a private key in PEM") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Signer of nonsense: %v", err)
	}
	s.secrets = nil
	if _, err := s.Signer(t.Context(), key("one")); err == nil || !strings.HasPrefix(err.Error(), "secret one: not found") {
		t.Errorf("Signer without secrets: %v", err)
	}
	if err := s.Verify(t.Context(), push(t), "", plan.Signers{Keys: []string{"nonsense"}}); err == nil {
		t.Error("Verify accepts a key that is none")
	}
}

// pushes is a builder whose images are made by a function.
type pushes struct {
	runtime.Builder
	push func(ref string) plan.Digest
}

func (b pushes) Build(_ context.Context, _ plan.BuildSpec, ref string, _ runtime.Emit) (plan.Digest, error) {
	return b.push(ref), nil
}

// TestFormerImage: an image that is replaced at the tag of its identity, because it was not
// signed, is kept until nothing needs it.
func TestFormerImage(t *testing.T) {
	t.Parallel()
	images, err := registry.New(registry.Options{Prefix: testenv.Registry(t) + "/former"})
	if err != nil {
		t.Fatal(err)
	}
	var next v1.Image
	b := noting{
		Builder: pushes{push: func(ref string) plan.Digest {
			digest, err := images.Push(t.Context(), ref, next, func(runtime.Body) {})
			if err != nil {
				t.Fatal(err)
			}
			return digest
		}},
		images: images,
		inputs: func(context.Context, plan.BuildSpec) (plan.Digest, *runtime.ImageInputs, error) { return "", nil, nil },
		bases:  func(string) []runtime.BaseImage { return nil },
	}
	ref := images.Ref("web", plan.DigestOf([]byte(t.Name())))
	var digests []plan.Digest
	for i := range 3 {
		if i < 2 { // the last one is equal
			if next, err = random.Image(500, 1); err != nil {
				t.Fatal(err)
			}
		}
		digest, err := b.Build(t.Context(), plan.BuildSpec{ID: "web"}, ref, func(e runtime.Body) { t.Errorf("event %v", e) })
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	kept, err := images.Kept(t.Context(), []string{ref})
	if err != nil {
		t.Fatal(err)
	}
	tags := make(map[plan.Digest]string)
	for _, k := range kept {
		if k.Made.IsZero() {
			t.Errorf("%s has no note", k.Ref())
		}
		tags[k.Digest] = strings.Join(k.Tags, " ")
	}
	_, identity, _ := plan.CutImage(ref)
	want := map[plan.Digest]string{digests[0]: strings.TrimPrefix(string(digests[0]), "sha256:"), digests[1]: identity}
	if !maps.Equal(tags, want) {
		t.Errorf("tags %v, want %v", tags, want)
	}
}
