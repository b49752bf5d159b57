package local

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/registry"
)

// TestKeyless signs in a registry without a key, and verifies, with an instance of Sigstore (I15, I16).
func TestKeyless(t *testing.T) {
	const workflow = "acme/shop/.github/workflows/release.yml@refs/heads/main"
	instance := testenv.Sigstore(t)
	addr := testenv.Registry(t)
	images, err := registry.New(registry.Options{Prefix: addr})
	if err != nil {
		t.Fatal(err)
	}
	s := newSignatures(images, nil, Options{Executable: filepath.Join(instance.Bin, "pipe"), Home: t.TempDir()})
	shop := plan.Identity{Issuer: "https://token.actions.githubusercontent.com", Name: "https://github.com/" + workflow, TrustedRoot: instance.TrustedRoot}
	with := plan.Signing{Keyless: &plan.Keyless{Identity: shop, SigningConfig: instance.SigningConfig}}
	by := func(change func(*plan.Identity)) plan.Signers {
		id := shop
		change(&id)
		return plan.Signers{Identities: []plan.Identity{id}}
	}
	push := func() string { return pushImage(t, addr+"/keyless/web:1") }
	refused := func(ref string, by plan.Signers, want string) {
		t.Helper()
		var unsigned *runtime.UnsignedError
		if err := s.Verify(t.Context(), ref, "", by); !errors.As(err, &unsigned) || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify = %v, want an UnsignedError with %q", err, want)
		}
	}
	job := func(workflow string) {
		address, bearer := instance.TokenURL(workflow)
		t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", address)
		t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer)
	}
	t.Setenv("SIGSTORE_ID_TOKEN", "")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "")
	signer, err := s.Signer(t.Context(), with)
	if !errors.Is(err, runtime.ErrNotFound) || len(signer.Identities) != 1 || signer.Identities[0] != shop {
		t.Errorf("Signer without a token = %v, %v", signer, err)
	}
	job("acme/other/.github/workflows/release.yml@refs/heads/main")
	ref := push()
	if err := s.Sign(t.Context(), with, ref, discardEvents); err == nil || !strings.Contains(err.Error(), "the identity token is that of https://github.com/acme/other/") {
		t.Errorf("Sign as another job: %v", err)
	}
	refused(ref, signer, "has no signature")

	job(workflow)
	if _, err := s.Signer(t.Context(), with); err != nil {
		t.Error(err)
	}
	for range 2 { // the second time, it is signed
		if err := s.Sign(t.Context(), with, ref, discardEvents); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := name.NewDigest(ref)
	if err != nil {
		t.Fatal(err)
	}
	all, err := remote.Referrers(repo)
	if err != nil {
		t.Fatal(err)
	}
	list, err := all.IndexManifest()
	if err != nil || len(list.Manifests) != 1 || list.Manifests[0].ArtifactType != "application/vnd.dev.sigstore.bundle.v0.3+json" {
		t.Errorf("what refers to the image: %v, %v; want one bundle", list, err)
	}
	if err := s.Verify(t.Context(), ref, "", signer); err != nil {
		t.Errorf("Verify = %v", err)
	}
	other := push()
	refused(other, signer, "has no signature")
	refused(ref, by(func(i *plan.Identity) { i.Name += "-other" }), shop.Name+" (issuer "+shop.Issuer+") has signed it")
	refused(ref, by(func(i *plan.Identity) { i.Issuer += "/" }), "has signed it")
	if err := s.Verify(t.Context(), ref, "", by(func(i *plan.Identity) { i.Name, i.Regexp = "", `^https://github\.com/acme/.*$` })); err != nil {
		t.Errorf("Verify with a regular expression = %v", err)
	}
	if err := s.Verify(t.Context(), ref, "", by(func(i *plan.Identity) { i.TrustedRoot = "{}" })); err == nil || !strings.Contains(err.Error(), "trusted_root= ") {
		t.Errorf("Verify with a damaged root = %v", err)
	}
	// What was verified is not read again, and other identities are not taken for it.
	s.sigstore.executable = "/nowhere/pipe"
	if err := s.Verify(t.Context(), ref, "", signer); err != nil {
		t.Errorf("Verify of what was verified = %v", err)
	}
}

func discardEvents(runtime.Body) {}
