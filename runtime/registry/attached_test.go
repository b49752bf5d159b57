package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/plan"
)

// documents returns a manifest with documents, by their types, or "type predicate"; they refer to
// subject if that is set.
func documents(t *testing.T, subject *v1.Descriptor, texts map[string]string) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for kind, text := range texts {
		kind, predicate, _ := strings.Cut(kind, " ")
		layer := mutate.Addendum{Layer: static.NewLayer([]byte(text), types.MediaType(kind))}
		if predicate != "" {
			layer.Annotations = map[string]string{"in-toto.io/predicate-type": predicate}
		}
		var err error
		if img, err = mutate.Append(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	if subject != nil {
		img = mutate.Subject(img, *subject).(v1.Image)
	}
	return img
}

// attachments returns what is attached to an image, as "platform text", sorted, and the errors.
func attachments(t *testing.T, r *Registry, ref string, digest plan.Digest, max int64) (all, errs []string) {
	t.Helper()
	name, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	found, err := r.Attachments(t.Context(), name+"@"+string(digest), max, func(of string) bool { return of == "sbom" })
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range found.All {
		all = append(all, strings.TrimSpace(a.Platform+" "+string(a.Data)))
	}
	for _, err := range found.Errs {
		errs = append(errs, err.Error())
	}
	slices.Sort(all)
	return all, errs
}

// twoPlatforms returns an index with an image for each of two platforms, and the images.
func twoPlatforms(t *testing.T) (index v1.ImageIndex, amd64, arm64 v1.Image) {
	t.Helper()
	amd64, arm64 = image(t), image(t)
	index = mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: amd64, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm64, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}}})
	return index, amd64, arm64
}

// attested returns an index with a manifest with attestations as BuildKit writes it.
func attested(t *testing.T, index v1.ImageIndex, of v1.Image, texts map[string]string) v1.ImageIndex {
	t.Helper()
	return mutate.AppendManifests(index, mutate.IndexAddendum{Add: documents(t, nil, texts), Descriptor: v1.Descriptor{
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{attestationType: attestation, attestationOf: described(t, of).Digest.String()},
	}})
}

// TestAttachments: what is attached to an image is found wherever it is.
func TestAttachments(t *testing.T) {
	t.Parallel()
	for _, lists := range []bool{false, true} {
		t.Run(fmt.Sprint("lists=", lists), func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, ggcr.WithReferrersSupport(lists))
			r := newRegistry(t, u.addr+"/shop")

			// of others
			index, amd64, arm64 := twoPlatforms(t)
			index = attested(t, index, arm64, map[string]string{inTotoType + " sbom": "of arm64", inTotoType + " provenance": "other"})
			index = attested(t, index, image(t), map[string]string{inTotoType + " sbom": "of another image"})
			ref := u.addr + "/upstream:1"
			digest := push(t, ref, index)
			for _, subject := range []any{index, amd64} {
				d := described(t, subject)
				text := "refers to " + string(d.MediaType)
				img := documents(t, d, map[string]string{"application/spdx+json": text})
				push(t, u.addr+"/upstream@"+described(t, img).Digest.String(), img)
			}
			push(t, u.addr+"/upstream:"+refTag(described(t, amd64).Digest)+".att", documents(t, nil, map[string]string{envelopeType: "att", "text/plain": "no"}))
			push(t, u.addr+"/upstream:"+refTag(described(t, index).Digest)+".sbom", documents(t, nil, map[string]string{"application/vnd.cyclonedx+json": "tagged"}))
			want := []string{
				"linux/amd64 att", "linux/amd64 refers to " + string(described(t, amd64).MediaType), "linux/arm64/v8 of arm64",
				"refers to " + string(described(t, index).MediaType), "tagged",
			}
			if got, errs := attachments(t, r, ref, digest, 100); !slices.Equal(got, want) || errs != nil {
				t.Errorf("Attachments = %q, %q, want %q", got, errs, want)
			}

			// the copy of it
			copied, _ := mirror(t, r, ref)
			if got, errs := attachments(t, r, copied, digest, 100); !slices.Equal(got, want) || errs != nil {
				t.Errorf("of the copy, Attachments = %q, %q, want %q", got, errs, want)
			}

			// beside an image that pipe has built
			index, _, arm64 = twoPlatforms(t)
			built := r.Ref("web", plan.DigestOf([]byte("web")))
			push(t, r.Beside(built), attested(t, index, arm64, map[string]string{inTotoType + " sbom": "built"}))
			digest, err := r.Publish(t.Context(), r.Beside(built), built)
			if err != nil {
				t.Fatal(err)
			}
			if got, errs := attachments(t, r, built, digest, 100); !slices.Equal(got, []string{"linux/arm64/v8 built"}) || errs != nil {
				t.Errorf("of a built image, Attachments = %q, %q", got, errs)
			}
			plain := r.Ref("web", plan.DigestOf([]byte("plain")))
			if got, errs := attachments(t, r, plain, push(t, plain, image(t)), 100); got != nil || errs != nil {
				t.Errorf("of an image without any, Attachments = %q, %q", got, errs)
			}
		})
	}
}

// TestAttachmentsHostile: what is attached may be anything, and the registry may fail.
func TestAttachmentsHostile(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ggcr.WithReferrersSupport(true))
	r := newRegistry(t, u.addr+"/shop")
	attach := func(to, text string) v1.Image {
		img := image(t)
		push(t, u.addr+"/"+to+":1", img)
		of := documents(t, described(t, img), map[string]string{"text/spdx+json": text})
		push(t, u.addr+"/"+to+"@"+described(t, of).Digest.String(), of)
		return img
	}
	blob := func(text string) string {
		d, _, err := v1.SHA256(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	u.disturb = func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet {
			return false
		}
		switch {
		case strings.HasSuffix(req.URL.Path, blob("other")):
			_, _ = w.Write([]byte("wrong"))
		case strings.HasSuffix(req.URL.Path, blob("gone")):
			w.WriteHeader(http.StatusNotFound)
		case strings.Contains(req.URL.Path, "/broken/manifests/sha256:"):
			w.WriteHeader(http.StatusForbidden)
		default:
			return false
		}
		return true
	}
	for to, test := range map[string]struct{ text, want string }{
		"large": {strings.Repeat("x", 3<<20), "it has 3 MiB, at most 2 are read"},
		"other": {"other", "digest"},
		"gone":  {"gone", "its content is not in the registry"},
	} {
		img := attach(to, test.text)
		if got, errs := attachments(t, r, u.addr+"/"+to, plan.Digest(described(t, img).Digest.String()), 2<<20); got != nil || len(errs) != 1 || !strings.Contains(errs[0], test.want) {
			t.Errorf("%s: Attachments = %q, %q, want an error with %q", to, got, errs, test.want)
		}
	}
	img := attach("broken", "x")
	if _, err := r.Attachments(t.Context(), u.addr+"/broken@"+described(t, img).Digest.String(), 100, nil); err == nil || !strings.Contains(err.Error(), "/broken@sha256:") {
		t.Errorf("of a registry that refuses, Attachments = %v", err)
	}
	img = attach("together", strings.Repeat("x", 1<<20))
	for i := range 5 {
		of := documents(t, described(t, img), map[string]string{"text/spdx+json": fmt.Sprint(i, strings.Repeat("x", 1<<20-1))})
		push(t, u.addr+"/together@"+described(t, of).Digest.String(), of)
	}
	if got, errs := attachments(t, r, u.addr+"/together", plan.Digest(described(t, img).Digest.String()), 1<<20); len(got) != 4 || len(errs) != 1 || !strings.Contains(errs[0], "more than 4 MiB") {
		t.Errorf("Attachments = %d documents, %q, want 4 and an error", len(got), errs)
	}
	img = image(t)
	push(t, u.addr+"/many:1", img)
	for i := range maxAttachments + 10 {
		of := documents(t, described(t, img), map[string]string{"text/spdx+json": fmt.Sprint(i)})
		if err := remote.Write(mustRef(t, u.addr+"/many@"+described(t, of).Digest.String()), of); err != nil {
			t.Fatal(err)
		}
	}
	if got, errs := attachments(t, r, u.addr+"/many", plan.Digest(described(t, img).Digest.String()), 1000); len(got) != maxAttachments || len(errs) != 1 {
		t.Errorf("Attachments = %d documents, %q, want %d and an error", len(got), errs, maxAttachments)
	}
	if _, err := r.Attachments(t.Context(), u.addr+"/none@"+string(plan.DigestOf(nil)), 100, nil); err == nil {
		t.Error("Attachments of an image that does not exist has no error")
	}
}
