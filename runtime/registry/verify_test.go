package registry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// mustVerify verifies with keys. Without want, the image must be signed; otherwise it must
// not be, and the error must have all of want.
func mustVerify(t *testing.T, r *Registry, ref, src string, keys []crypto.Signer, want ...string) {
	t.Helper()
	public := make([]crypto.PublicKey, len(keys))
	for i, key := range keys {
		public[i] = key.Public()
	}
	err := r.Verify(t.Context(), ref, src, Signers{Keys: public})
	if len(want) == 0 {
		if err != nil {
			t.Errorf("Verify = %v, want a valid signature", err)
		}
		return
	}
	var unsigned *runtime.UnsignedError
	if !errors.As(err, &unsigned) {
		t.Fatalf("Verify = %v, want an UnsignedError", err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("Verify = %q, want it to contain %q", err, part)
		}
	}
}

func byDigest(addr, path string, digest plan.Digest) string {
	return addr + "/" + path + "@" + string(digest)
}

// writeSigned writes layers at the tag of the older format.
func writeSigned(t *testing.T, repo string, digest plan.Digest, layers ...mutate.Addendum) {
	t.Helper()
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err != nil {
		t.Fatal(err)
	}
	push(t, repo+":"+strings.Replace(string(digest), ":", "-", 1)+".sig", img)
}

func signedLayer(message []byte, signature []byte) mutate.Addendum {
	return mutate.Addendum{
		Layer: static.NewLayer(message, simpleSigning), MediaType: simpleSigning,
		Annotations: map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(signature)},
	}
}

// madeLayer returns the layer that Sign would write.
func madeLayer(t *testing.T, repo, digest string, key crypto.Signer) mutate.Addendum {
	t.Helper()
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	of, err := name.NewRepository(repo)
	if err != nil {
		t.Fatal(err)
	}
	message, sig, err := signatureOf(of, hash, key)
	if err != nil {
		t.Fatal(err)
	}
	return signedLayer(message, sig)
}

// Which signatures count in the older format, in a registry that lists referrers and in one that
// does not (I16).
func TestVerify(t *testing.T) {
	t.Parallel()
	for kind, options := range map[string][]ggcr.Option{"tags only": nil, "referrers": {ggcr.WithReferrersSupport(true)}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, options...)
			r := newRegistry(t, u.addr)
			good, other := newKey(t), newKey(t)
			both := []crypto.Signer{other, good}
			fresh := func() (ref, repo string, digest plan.Digest) {
				digest = push(t, u.addr+"/web:1", image(t))
				return byDigest(u.addr, "web", digest), u.addr + "/web", digest
			}
			one := []crypto.Signer{good}

			ref, repo, digest := fresh()
			mustVerify(t, r, ref, "", one, ref+" has no signature")

			writeSigned(t, repo, digest, madeLayer(t, repo, string(digest), good))
			mustVerify(t, r, ref, "", one)
			mustVerify(t, r, ref, "", both)
			mustVerify(t, r, ref, "", []crypto.Signer{other}, "another key has signed it")

			elsewhere := digest
			ref, repo, digest = fresh()
			writeSigned(t, repo, digest, madeLayer(t, repo, string(elsewhere), good))
			mustVerify(t, r, ref, "", one, "the key has signed "+string(elsewhere))

			// A payload that was changed after it was signed.
			layer := madeLayer(t, repo, string(elsewhere), good)
			content, err := layer.Layer.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			message, err := io.ReadAll(content)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := base64.StdEncoding.DecodeString(layer.Annotations[signatureAnnotation])
			if err != nil {
				t.Fatal(err)
			}
			writeSigned(t, repo, digest, signedLayer(bytes.ReplaceAll(message, []byte(elsewhere), []byte(digest)), sig))
			mustVerify(t, r, ref, "", one, "another key has signed it")

			// One of several, after many that do not count.
			layers := []mutate.Addendum{
				signedLayer([]byte("nonsense"), []byte("nonsense")), signedLayer(nil, nil),
				{Layer: static.NewLayer([]byte("x"), "text/plain")},
				signedLayer(bytes.Repeat([]byte("x"), maxPayload+1), []byte("x")),
				madeLayer(t, repo, string(digest), other),
			}
			writeSigned(t, repo, digest, layers...)
			mustVerify(t, r, ref, "", one, "another key has signed it", "a signature has more than 64 KiB")
			writeSigned(t, repo, digest, append(layers, madeLayer(t, repo, string(digest), good))...)
			mustVerify(t, r, ref, "", one)

			// What the key has signed is not about an image.
			for _, text := range []string{"nonsense", "{}", `{"critical":{"image":{"docker-manifest-digest":"` + string(digest) + `"},"type":"atomic container signature"}}`} {
				hash := sha(text)
				sig, err := good.Sign(rand.Reader, hash, crypto.SHA256)
				if err != nil {
					t.Fatal(err)
				}
				writeSigned(t, repo, digest, signedLayer([]byte(text), sig))
				mustVerify(t, r, ref, "", one, "the key has signed something else")
			}
			// A signature of the image for one platform is not one of the index.
			whole := index(t)
			digest = push(t, u.addr+"/web:1", whole)
			list, err := whole.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			part := plan.Digest(list.Manifests[0].Digest.String())
			writeSigned(t, repo, part, madeLayer(t, repo, string(part), good))
			mustVerify(t, r, byDigest(u.addr, "web", digest), "", one, "has no signature")
			writeSigned(t, repo, digest, madeLayer(t, repo, string(digest), good))
			mustVerify(t, r, byDigest(u.addr, "web", digest), "", one)
		})
	}
}

func sha(text string) []byte {
	hash := crypto.SHA256.New()
	hash.Write([]byte(text))
	return hash.Sum(nil)
}

// Signatures that cosign 3.1.1 has made, in both of its formats. The password of its key is
// hunter2.
func TestVerifyCosign(t *testing.T) {
	t.Parallel()
	pub, err := os.ReadFile(filepath.Join("testdata", "cosign", "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := plan.ParsePublicKey(string(pub))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join("testdata", "cosign", "signatures.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Image    plan.Digest
		Manifest v1.Manifest
		Layer    string
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for i, one := range all {
		for kind, options := range map[string][]ggcr.Option{"tags only": nil, "referrers": {ggcr.WithReferrersSupport(true)}} {
			t.Run(fmt.Sprint(i, kind), func(t *testing.T) {
				t.Parallel()
				u := newUpstream(t, options...)
				repo := u.addr + "/web"
				add := mutate.Addendum{
					Layer:       static.NewLayer([]byte(one.Layer), one.Manifest.Layers[0].MediaType),
					Annotations: one.Manifest.Layers[0].Annotations, MediaType: one.Manifest.Layers[0].MediaType,
				}
				if one.Manifest.Subject == nil {
					writeSigned(t, repo, one.Image, add)
				} else {
					writeBundle(t, repo, bundleType+".v0.3+json", add, one.Manifest.Subject)
				}
				ref := repo + "@" + string(one.Image)
				if err := newRegistry(t, u.addr).Verify(t.Context(), ref, "", Signers{Keys: []crypto.PublicKey{key}}); err != nil {
					t.Errorf("Verify = %v", err)
				}
				mustVerify(t, newRegistry(t, u.addr), ref, "", []crypto.Signer{newKey(t)}, "another key has signed it")
				if one.Manifest.Subject == nil {
					return
				}
				u = newUpstream(t, options...)
				writeBundle(t, u.addr+"/web", emptyType, add, one.Manifest.Subject)
				if err := newRegistry(t, u.addr).Verify(t.Context(), u.addr+"/web@"+string(one.Image), "", Signers{Keys: []crypto.PublicKey{key}}); err != nil {
					t.Errorf("Verify = %v, where the registry lists the type of the config", err)
				}
			})
		}
	}
}

// writeBundle writes a bundle that refers to subject. Registries list the type of its config.
func writeBundle(t *testing.T, repo, kind string, layer mutate.Addendum, subject *v1.Descriptor) {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.MediaType(kind))
	img, err := mutate.Append(img, layer)
	if err != nil {
		t.Fatal(err)
	}
	img = mutate.Subject(img, *subject).(v1.Image)
	push(t, repo+"@"+described(t, img).Digest.String(), img)
}

// What a registry may answer instead of signatures (I16): a failure is not the same as an
// image without signatures.
func TestVerifyHostileRegistry(t *testing.T) {
	t.Parallel()
	good := newKey(t)
	const large = maxSignatureManifest + 1
	for what, test := range map[string]struct {
		path string // of what is answered otherwise
		do   func(http.ResponseWriter)
		want string
		fail bool // the answer says nothing about the image
	}{
		"401":       {path: ".sig", do: func(w http.ResponseWriter) { w.WriteHeader(401) }, want: "requires credentials", fail: true},
		"403":       {path: ".sig", do: func(w http.ResponseWriter) { w.WriteHeader(403) }, want: "requires credentials", fail: true},
		"500":       {path: ".sig", do: func(w http.ResponseWriter) { w.WriteHeader(500) }, want: "returned 500", fail: true},
		"blob 500":  {path: "/blobs/", do: func(w http.ResponseWriter) { w.WriteHeader(500) }, want: "returned 500", fail: true},
		"list 500":  {path: "/referrers/", do: func(w http.ResponseWriter) { w.WriteHeader(500) }, want: "returned 500", fail: true},
		"blob lost": {path: "/blobs/", do: func(w http.ResponseWriter) { w.WriteHeader(404) }, want: "the registry has lost a signature"},
		"huge": {path: ".sig", do: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			_, _ = w.Write(make([]byte, large))
		}, want: "more than 4096 KiB"},
		"nonsense": {path: ".sig", do: func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }, want: "is not a manifest of signatures"},
		"other content": {path: "/blobs/", do: func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"critical":{}}`)
		}, want: "does not match its digest"},
		"long content": {path: "/blobs/", do: func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, large)) }, want: "more than 64 KiB"},
		"many": {path: ".sig", do: func(w http.ResponseWriter) {
			config := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}}
			m := v1.Manifest{SchemaVersion: 2, Config: config, Layers: make([]v1.Descriptor, 10*maxSignatures)}
			for i := range m.Layers {
				m.Layers[i] = v1.Descriptor{MediaType: simpleSigning, Digest: config.Digest, Size: 1 << 40, Annotations: map[string]string{signatureAnnotation: "eA=="}}
			}
			_ = json.NewEncoder(w).Encode(m)
		}, want: "has more than 100 signatures"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, ggcr.WithReferrersSupport(true))
			digest := push(t, u.addr+"/web:1", image(t))
			repo, ref := u.addr+"/web", byDigest(u.addr, "web", digest)
			if test.path != "/referrers/" {
				writeSigned(t, repo, digest, madeLayer(t, repo, string(digest), good))
			}
			u.when(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, test.path) || r.Method != http.MethodGet {
					return false
				}
				test.do(w)
				return true
			})
			if !test.fail {
				mustVerify(t, newRegistry(t, u.addr), ref, "", []crypto.Signer{good}, test.want)
				return
			}
			err := newRegistry(t, u.addr).Verify(t.Context(), ref, "", Signers{Keys: []crypto.PublicKey{good.Public()}})
			var unsigned *runtime.UnsignedError
			if err == nil || errors.As(err, &unsigned) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Verify = %v, want a failure with %q", err, test.want)
			}
		})
	}
}

// Manifests that refer to an image and have many signatures each: no more are read than one manifest
// may have.
func TestVerifyManyBundles(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ggcr.WithReferrersSupport(true))
	of := image(t)
	ref := byDigest(u.addr, "web", push(t, u.addr+"/web:1", of))
	junk := static.NewLayer([]byte("{}"), bundleType+".v0.3+json")
	for n := range 3 {
		layers := make([]mutate.Addendum, maxSignatures-n) // so that the manifests differ
		for i := range layers {
			layers[i] = mutate.Addendum{Layer: junk, MediaType: bundleType + ".v0.3+json"}
		}
		img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), bundleType+".v0.3+json"), layers...)
		if err != nil {
			t.Fatal(err)
		}
		img = mutate.Subject(img, *described(t, of)).(v1.Image)
		push(t, u.addr+"/web@"+described(t, img).Digest.String(), img)
	}
	digest, err := junk.Digest()
	if err != nil {
		t.Fatal(err)
	}
	u.seen("")
	mustVerify(t, newRegistry(t, u.addr), ref, "", []crypto.Signer{newKey(t)}, "it has more than 100 signatures")
	if n := len(u.seen("GET /v2/web/blobs/" + digest.String())); n != maxSignatures {
		t.Errorf("%d signatures were read, want %d", n, maxSignatures)
	}
}

// Signatures of a mirrored image are found beside the copy and beside the original, also if
// they were added after the copy was made (I3, I16).
func TestVerifyMirrored(t *testing.T) {
	t.Parallel()
	u, good := newUpstream(t), newKey(t)
	r := newRegistry(t, ours(t).Addr)
	one := []crypto.Signer{good}
	digest := push(t, u.addr+"/web:1", image(t))
	src := u.addr + "/web:1"

	before, there, err := r.Mirrored(t.Context(), src)
	if err != nil || there {
		t.Fatalf("Mirrored = %t, %v", there, err)
	}
	mustVerify(t, r, before, src, one, "has no signature")
	ref, _ := mirror(t, r, src)
	mustVerify(t, r, ref, src, one, "has no signature")

	writeSigned(t, u.addr+"/web", digest, madeLayer(t, u.addr+"/web", string(digest), good))
	mustVerify(t, r, ref, src, one)
	mustVerify(t, r, ref, "", one, "has no signature") // the copy was made before

	digest = push(t, src, image(t))
	writeSigned(t, u.addr+"/web", digest, madeLayer(t, u.addr+"/web", string(digest), good))
	if ref, _, err = r.Mirrored(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, r, ref, src, one) // before it is copied
	other := newDenying(t)          // where the image was not copied to yet
	denied := runtime.ByDigest(other.addr+"/shop/mirror/"+strings.ReplaceAll(u.addr, ":", "_")+"/web", digest)
	mustVerify(t, newRegistry(t, other.addr+"/shop"), denied, src, one)
	mustVerify(t, newRegistry(t, other.addr+"/shop"), denied, src, []crypto.Signer{newKey(t)}, "another key has signed it")
	mirror(t, r, src)
	u.Close()
	mustVerify(t, r, ref, src, one) // the signature was copied
}
