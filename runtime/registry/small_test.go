package registry

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// TestSmallBlobs: a small blob is sent in the request that completes its upload, and sent again if
// that is interrupted.
func TestSmallBlobs(t *testing.T) {
	t.Parallel()
	from, to := newUpstream(t), proxied(t)
	src := from.addr + "/redis:7"
	digest := push(t, src, image(t))
	note, err := annotated(nil).RawConfigFile() // which is not copied
	if err != nil {
		t.Fatal(err)
	}
	var whole, parts requests
	to.when(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/uploads/") || r.ContentLength <= 0 || r.ContentLength == int64(len(note)) {
			return false
		}
		if r.Method == http.MethodPatch {
			parts.add(r.URL.Path)
		} else if whole.add(r.URL.Path) == 1 {
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
			aborts()
		}
		return false
	})
	r := newRegistry(t, to.addr)
	ref, copied, err := r.Mirror(t.Context(), src, discard)
	if err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	if len(whole.all) < 2 || len(parts.all) > 0 {
		t.Errorf("uploads were completed with a blob %d times, and %d were sent in parts, want all whole, and the first one twice", len(whole.all), len(parts.all))
	}
	if got, err := r.Resolve(t.Context(), ref); err != nil || got != digest {
		t.Errorf("Resolve = %s, %v; want %s", got, err, digest)
	}
}

// TestConfigOfNotes: the config of notes is sent to a repository once, and again if it was removed.
func TestConfigOfNotes(t *testing.T) {
	t.Parallel()
	to := proxied(t)
	r := newRegistry(t, to.addr)
	repo, err := name.NewRepository(to.addr + "/web")
	if err != nil {
		t.Fatal(err)
	}
	config, err := annotated(nil).ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	for i, tag := range []string{"one", "two", "three"} {
		to.seen("")
		if i == 2 {
			client, err := transport.NewWithContext(t.Context(), repo.Registry, authn.Anonymous, http.DefaultTransport, []string{repo.Scope(transport.DeleteScope)})
			if err != nil {
				t.Fatal(err)
			}
			remove, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, blobURL(repo, config.String()), nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.RoundTrip(remove)
			if err != nil || answer.StatusCode != http.StatusAccepted {
				t.Fatalf("remove the config: %v, %v", answer, err)
			}
			answer.Body.Close()
			to.seen("")
		}
		if err := r.Note(t.Context(), repo.Tag(tag).Name(), Made{}); err != nil {
			t.Fatalf("Note of %s: %v", tag, err)
		}
		if sent := to.seen("/blobs/"); len(sent) == 0 != (i == 1) {
			t.Errorf("for note %d the requests for blobs were %q, want some for the first and the last one only", i+1, sent)
		}
		if noted, err := r.readAnnotated(t.Context(), repo.Tag(tag+noteSuffix)); err != nil || noted[noteAt] == "" {
			t.Errorf("the note of %s is %v, %v", tag, noted, err)
		}
	}
}
