package registry

import (
	"context"
	"crypto"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// keylessBundle is what a bundle without a key looks like to the registry, which does not verify it.
const keylessBundle = `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AA=="}},"dsseEnvelope":{}}`

// TestAddBundle: bundles are found beside the image and its copies, in a registry that lists referrers and in
// one that does not; all are verified together.
func TestAddBundle(t *testing.T) {
	t.Parallel()
	for kind, options := range map[string][]ggcr.Option{"tags only": nil, "referrers": {ggcr.WithReferrersSupport(true)}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, options...)
			r := newRegistry(t, u.addr)
			key := newKey(t)
			digest := push(t, u.addr+"/web:1", image(t))
			ref := byDigest(u.addr, "web", digest)
			asked := 0
			by := Signers{Keyless: func(_ context.Context, of plan.Digest, bundles [][]byte) ([]string, error) {
				asked++
				if of != digest {
					t.Errorf("the signature of %s is verified, want %s", of, digest)
				}
				for _, b := range bundles {
					if strings.TrimSpace(string(b)) != keylessBundle {
						t.Errorf("%q is verified", b)
					}
				}
				return []string{"somebody else has signed it"}, nil
			}}
			refused := func(by Signers, want string) {
				t.Helper()
				var unsigned *runtime.UnsignedError
				if err := r.Verify(t.Context(), ref, "", by); !errors.As(err, &unsigned) || !strings.Contains(err.Error(), want) {
					t.Errorf("Verify = %v, want %q", err, want)
				}
			}
			refused(by, "has no signature")
			if asked > 0 {
				t.Error("nothing is verified")
			}
			for _, bundle := range []string{keylessBundle, keylessBundle + " "} {
				for range 2 { // the second time, it is there
					if err := r.AddBundle(t.Context(), ref, []byte(bundle), discard); err != nil {
						t.Fatal(err)
					}
				}
			}
			refused(by, "somebody else has signed it")
			if asked != 1 {
				t.Errorf("%d verifications, want one of both bundles", asked)
			}
			refused(Signers{Keys: []crypto.PublicKey{key.Public()}}, "it was signed without a key: identity= and issuer= say by whom")

			layer := madeLayer(t, u.addr+"/web", string(digest), key)
			layer.Annotations[certificateAnnotation] = "-----BEGIN CERTIFICATE-----"
			writeSigned(t, u.addr+"/web", digest, layer)
			refused(by, "in the format of cosign 2, which is not read")

			down := errors.New("the trusted root is not known")
			by.Keyless = func(context.Context, plan.Digest, [][]byte) ([]string, error) { return nil, down }
			if err := r.Verify(t.Context(), ref, "", by); !errors.Is(err, down) {
				t.Errorf("Verify = %v, want the failure", err)
			}
			by.Keyless = func(context.Context, plan.Digest, [][]byte) ([]string, error) { return nil, nil }
			if err := r.Verify(t.Context(), ref, "", by); err != nil {
				t.Errorf("Verify = %v", err)
			}
			copied := newRegistry(t, ours(t).Addr)
			at, _ := mirror(t, copied, u.addr+"/web:1")
			if err := copied.Verify(t.Context(), at, "", by); err != nil {
				t.Errorf("Verify of a copy = %v", err)
			}
		})
	}
}

// TestAddBundleLost: a registry that does not list what it has accepted.
func TestAddBundleLost(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ggcr.WithReferrersSupport(true))
	ref := byDigest(u.addr, "web", push(t, u.addr+"/web:1", image(t)))
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_, _ = io.WriteString(w, `{"schemaVersion":2,"manifests":[]}`)
		return true
	})
	if err := newRegistry(t, u.addr).AddBundle(t.Context(), ref, []byte(keylessBundle), discard); !errors.Is(err, errBundleLost) {
		t.Errorf("AddBundle = %v, want that the bundle is lost", err)
	}
}
