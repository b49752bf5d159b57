package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pipelinefile/pipe/runtime"
)

// statement returns an image with a text, such as a signature, that refers to subject if that
// is set.
func statement(t *testing.T, text string, subject *v1.Descriptor) v1.Image {
	t.Helper()
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer: static.NewLayer([]byte(text), "application/vnd.dev.cosign.simplesigning.v1+json"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if subject != nil {
		img = mutate.Subject(img, *subject).(v1.Image)
	}
	return img
}

func described(t *testing.T, what any) *v1.Descriptor {
	t.Helper()
	m := what.(interface {
		Digest() (v1.Hash, error)
		Size() (int64, error)
		MediaType() (types.MediaType, error)
	})
	digest, err := m.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := m.Size()
	if err != nil {
		t.Fatal(err)
	}
	kind, err := m.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	return &v1.Descriptor{Digest: digest, Size: size, MediaType: kind}
}

// attach pushes a statement about subject to repo.
func attach(t *testing.T, repo, text string, subject *v1.Descriptor) v1.Image {
	t.Helper()
	img := statement(t, text, subject)
	push(t, repo+"@"+described(t, img).Digest.String(), img)
	return img
}

// statements returns the texts of the statements about a digest, read like a tool that
// verifies signatures.
func statements(t *testing.T, repo name.Repository, about v1.Hash) []string {
	t.Helper()
	index, err := remote.Referrers(repo.Digest(about.String()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range list.Manifests {
		all = append(all, text(t, repo.Digest(d.Digest.String())))
	}
	slices.Sort(all)
	return all
}

func text(t *testing.T, ref name.Reference) string {
	t.Helper()
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers of %s = %v, %v", ref, layers, err)
	}
	body, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var b strings.Builder
	for buf := make([]byte, 100); ; {
		n, err := body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// Signatures of an index and of its manifests, however they are found, have the same digests
// in the mirror (I3).
func TestMirrorKeepsSignatures(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name         string
		lists        bool // the registry upstream lists referrers
		mirrorLists  bool
		manyTags     bool // too many to list
		tagsUnlisted bool
	}{
		{name: "listed by the registry", lists: true},
		{name: "listed under a tag"},
		{name: "listed by both", lists: true, mirrorLists: true},
		{name: "listed by the mirror alone", mirrorLists: true},
		{name: "among many tags", manyTags: true},
		{name: "among tags that are not listed", tagsUnlisted: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, ggcr.WithReferrersSupport(row.lists))
			addr := ours(t).Addr
			if row.mirrorLists {
				addr = newUpstream(t, ggcr.WithReferrersSupport(true)).addr
			}
			u.when(func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case path.Base(r.URL.Path) != "list":
					return false
				case row.manyTags:
					w.Header().Set("Link", `</v2/many/tags/list?last=a>; rel="next"`)
					fmt.Fprint(w, `{"name": "many", "tags": ["a"]}`)
				case row.tagsUnlisted:
					w.WriteHeader(http.StatusForbidden)
				default:
					return false
				}
				return true
			})
			repo := u.addr + "/many"
			index, err := random.Index(1000, 1, 2)
			if err != nil {
				t.Fatal(err)
			}
			push(t, repo+":1", index)
			m, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			root, child := described(t, index), &m.Manifests[1]
			attach(t, repo, "signature of the index", root)
			bill := attach(t, repo, "bill of materials", root)
			attach(t, repo, "signature of the bill of materials", described(t, bill))
			attach(t, repo, "signature of a platform", child)
			// Tags of older tools; two platforms have the same bill of materials.
			for tag, text := range map[string]string{
				refTag(root.Digest) + ".sig":                 "older signature",
				refTag(child.Digest) + ".att":                "older attestation",
				refTag(child.Digest) + ".sbom":               "older bill",
				refTag(m.Manifests[0].Digest) + ".sbom":      "older bill",
				refTag(described(t, bill).Digest) + ".sig":   "older signature of the bill",
				"unrelated-" + refTag(child.Digest) + ".sig": "unrelated",
			} {
				push(t, repo+":"+tag, statement(t, text, nil))
			}

			var e events
			ref, copied, err := newRegistry(t, addr).Mirror(t.Context(), repo+":1", e.emit)
			if err != nil || !copied {
				t.Fatalf("Mirror = %v, %v", copied, err)
			}
			to := mustRef(t, ref).Context()
			for about, want := range map[v1.Hash][]string{
				root.Digest:               {"bill of materials", "signature of the index"},
				child.Digest:              {"signature of a platform"},
				described(t, bill).Digest: {"signature of the bill of materials"},
			} {
				if got := statements(t, to, about); !slices.Equal(got, want) {
					t.Errorf("about %s there is %q, want %q", about, got, want)
				}
			}
			for tag, want := range map[string]string{
				refTag(root.Digest) + ".sig":               "older signature",
				refTag(child.Digest) + ".att":              "older attestation",
				refTag(child.Digest) + ".sbom":             "older bill",
				refTag(m.Manifests[0].Digest) + ".sbom":    "older bill",
				refTag(described(t, bill).Digest) + ".sig": "older signature of the bill",
			} {
				if got := text(t, to.Tag(tag)); got != want {
					t.Errorf("tag %s says %q, want %q", tag, got, want)
				}
			}
			if tags, err := remote.List(to); err != nil || slices.ContainsFunc(tags, func(s string) bool { return strings.HasPrefix(s, "unrelated") }) {
				t.Errorf("tags = %v, %v", tags, err)
			}
			for _, b := range e.all {
				if w, ok := b.(runtime.Warned); ok {
					t.Errorf("a warning: %+v", w)
				}
			}
		})
	}
}

// An image without referrers costs one request for each manifest, and one for the tags of its
// repository.
func TestImageWithoutSignatures(t *testing.T) {
	t.Parallel()
	for _, lists := range []bool{true, false} {
		u := newUpstream(t, ggcr.WithReferrersSupport(lists))
		r := newRegistry(t, ours(t).Addr)
		src := u.addr + "/redis:7"
		digest := push(t, src, image(t))
		u.seen("")
		mirror(t, r, src)
		var got []string
		for _, request := range u.seen("/v2/redis/") {
			if !strings.Contains(request, "/blobs/") {
				got = append(got, request)
			}
		}
		want := []string{
			"HEAD /v2/redis/manifests/7", "GET /v2/redis/manifests/" + string(digest),
			"GET /v2/redis/tags/list", "GET /v2/redis/referrers/" + string(digest),
		}
		if len(got) == len(want) {
			slices.Sort(got[1:3]) // these are made concurrently
		}
		if !slices.Equal(got, want) {
			t.Errorf("requests = %q, want %q", got, want)
		}
	}
}

// A list may have several pages.
func TestManySignatures(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	src := u.addr + "/redis:7"
	img := image(t)
	push(t, src, img)
	var pages []string
	for i := range 3 {
		d := described(t, attach(t, u.addr+"/redis", fmt.Sprint(i), described(t, img)))
		pages = append(pages, fmt.Sprintf(`{"schemaVersion": 2, "manifests": [{"mediaType": %q, "digest": %q, "size": %d}]}`, d.MediaType, d.Digest, d.Size))
	}
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		w.Header().Set("Content-Type", string(types.OCIImageIndex)+"; charset=utf-8")
		page := 0
		if path.Base(r.URL.Path) == described(t, img).Digest.String() {
			_, _ = fmt.Sscan(r.URL.Query().Get("page"), &page)
			if page < 2 {
				w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, page+1))
			}
			fmt.Fprint(w, pages[page])
			return true
		}
		fmt.Fprint(w, `{"schemaVersion": 2, "manifests": []}`)
		return true
	})
	ref, _ := mirror(t, newRegistry(t, ours(t).Addr), src)
	got := statements(t, mustRef(t, ref).Context(), described(t, img).Digest)
	if want := []string{"0", "1", "2"}; !slices.Equal(got, want) {
		t.Errorf("statements = %q, want %q", got, want)
	}
}

// A registry that fails to list signatures does not count as one without signatures.
func TestSignaturesCannotBeListed(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	src := u.addr + "/redis:7"
	digest := push(t, src, image(t))
	for _, row := range []struct {
		name string
		at   string // of the request
		with func(http.ResponseWriter)
		want string
	}{
		{"a failure", "/referrers/", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
			"registry ADDR did not list the signatures: it returned 502 Bad Gateway: try again, log in, or deploy the image from its own registry, with mirror=False"},
		{"a refusal", "/referrers/", func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"not for you"}]}`)
		}, "registry ADDR did not list the signatures: it returned 403 Forbidden (not for you): try again, log in, or deploy the image from its own registry, with mirror=False"},
		{"no list", "/referrers/", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			fmt.Fprint(w, "[")
		}, "list its signatures: image ADDR/redis@DIGEST: registry ADDR: the list of what refers to an image: unexpected end of JSON input"},
		{"another host", "/referrers/", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			w.Header().Set("Link", `<http://evil.example/>; rel="next"`)
			fmt.Fprint(w, "{}")
		}, "list its signatures: image ADDR/redis@DIGEST: registry ADDR: the next page of the list is at another host"},
		{"pages without end", "/referrers/", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			w.Header().Set("Link", `<?more>; rel="next"`)
			fmt.Fprint(w, "{}")
		}, "list its signatures: image ADDR/redis@DIGEST: registry ADDR: more than 100 pages refer to DIGEST"},
		{"a refused tag", ".sig", func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
			"registry ADDR did not list the signatures: it returned 403 Forbidden: try again, log in, or deploy the image from its own registry, with mirror=False"},
	} {
		t.Run(row.name, func(t *testing.T) {
			u.when(func(w http.ResponseWriter, r *http.Request) bool {
				if path.Base(r.URL.Path) == "list" {
					w.WriteHeader(http.StatusNotImplemented) // so each tag is requested separately
					return true
				}
				if strings.Contains(r.URL.Path, row.at) {
					row.with(w)
					return true
				}
				return false
			})
			r := newRegistry(t, ours(t).Addr)
			_, _, err := r.Mirror(t.Context(), src, discard)
			want := "mirror image " + src + ": " + strings.NewReplacer("ADDR", u.addr, "DIGEST", string(digest)).Replace(row.want)
			if err == nil || err.Error() != want {
				t.Errorf("Mirror = %v\nwant %s", err, want)
			}
			// Without its signatures, the image does not count as mirrored.
			if _, there, err := r.Mirrored(t.Context(), src); err != nil || there {
				t.Errorf("Mirrored = %v, %v; want that it is not there", there, err)
			}
		})
	}
}

// A caller that waits for a list can be cancelled.
func TestCancelledWhileSignaturesAreListed(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	src := u.addr + "/redis:7"
	push(t, src, image(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		cancel(errors.New("interrupted"))
		<-r.Context().Done()
		return true
	})
	if _, _, err := newRegistry(t, ours(t).Addr).Mirror(ctx, src, discard); err == nil || err.Error() != "interrupted" {
		t.Errorf("Mirror = %v, want that it was interrupted", err)
	}
}

// A referrer that is listed but cannot be copied causes a warning and does not prevent the
// deploy.
func TestSignaturesThatAreNotThere(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	src := u.addr + "/redis:7"
	img := image(t)
	push(t, src, img)
	gone := described(t, statement(t, "gone", described(t, img))).Digest
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/referrers/"+described(t, img).Digest.String()) {
			return false
		}
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		fmt.Fprintf(w, `{"manifests": [{"mediaType": %q, "digest": %q}, {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "digest": %q}]}`,
			types.OCIManifestSchema1, gone, gone)
		return true
	})
	var e events
	if _, copied, err := newRegistry(t, ours(t).Addr).Mirror(t.Context(), src, e.emit); err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	var got []string
	for _, b := range e.all {
		if w, ok := b.(runtime.Warned); ok {
			got = append(got, w.Diagnostic.Message)
		}
	}
	want := []string{
		fmt.Sprintf("image %s: %s, which its registry lists as referring to it, is not there: it is not copied", src, gone),
		fmt.Sprintf(`image %s: %s, which refers to it, has the type "application/vnd.oci.artifact.manifest.v1+json": it is not copied`, src, gone),
	}
	if !slices.Equal(got, want) {
		t.Errorf("warnings = %q\nwant %q", got, want)
	}
}
