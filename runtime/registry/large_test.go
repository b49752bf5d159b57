package registry

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// zeros are a blob of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A layer of 20 GiB is copied in little memory. The upload is interrupted early, and the registry
// answers that it has all but the last part, so that only this part is sent: the test does not
// send 20 GiB.
func TestLargeLayer(t *testing.T) {
	const size, part = 20 << 30, 64 << 20
	// Not the digest of the content: the copy cannot compute that, because it was interrupted.
	layer := "sha256:" + strings.Repeat("a", 64)
	config := []byte("{}")
	parts := map[string][]byte{}
	add := func(content []byte) string {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
		parts[digest] = content
		return digest
	}
	of := func(media types.MediaType, size int64, digest string) v1.Descriptor {
		hash, err := v1.NewHash(digest)
		if err != nil {
			t.Fatal(err)
		}
		return v1.Descriptor{MediaType: media, Size: size, Digest: hash}
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: of(types.OCIConfigJSON, int64(len(config)), add(config)),
		Layers: []v1.Descriptor{of(types.OCILayer, size, layer)},
	})
	if err != nil {
		t.Fatal(err)
	}
	root := add(manifest)
	var ranges requests
	from := newProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch {
		case r.URL.Path == "/v2/":
		case last == layer:
			ranges.add(r.Header.Get("Range"))
			at := int64(0)
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at); err == nil {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, int64(size-1), int64(size)))
				w.Header().Set("Content-Length", fmt.Sprint(size-at))
				w.WriteHeader(http.StatusPartialContent)
			} else {
				w.Header().Set("Content-Length", fmt.Sprint(int64(size)))
			}
			_, _ = io.CopyN(w, zeros{}, size-at)
		case last == "1", last == root:
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			w.Header().Set("Docker-Content-Digest", root)
			_, _ = w.Write(manifest)
		case parts[last] != nil:
			_, _ = w.Write(parts[last])
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	to := proxied(t)
	var mu sync.Mutex
	var has, sent, most int64 // bytes of the layer: in the registry, and sent; bytes of memory
	complete := false
	to.when(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		large := strings.Contains(r.URL.Path, "/uploads/large")
		switch {
		case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
			// The real registry would look for the layer.
			w.Header().Set("Docker-Content-Digest", root)
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, layer), r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") && !complete:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Docker-Content-Digest", root)
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			w.Header().Set("Content-Length", fmt.Sprint(len(manifest)))
		case r.Method == http.MethodPatch && (large || r.ContentLength == size):
			n, _ := io.Copy(io.Discard, io.LimitReader(r.Body, part))
			sent += n
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			most = max(most, int64(memory.HeapInuse))
			if r.ContentLength == size {
				has = size - part
				aborts()
			}
			has += n
			w.Header().Set("Location", r.URL.String())
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/uploads/") && has > 0:
			w.Header().Set("Range", fmt.Sprintf("0-%d", has-1))
			w.Header().Set("Location", r.URL.Path[:strings.LastIndex(r.URL.Path, "/")]+"/large")
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPut && large:
			complete = has == size && r.URL.Query().Get("digest") == layer
			w.WriteHeader(http.StatusCreated)
		default:
			return false
		}
		return true
	})
	src := from.addr + "/large:1"
	if _, copied, err := newRegistry(t, to.addr).Mirror(t.Context(), src, discard); err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	if !complete || sent != 2*part {
		t.Errorf("complete: %v, after %d bytes of the layer were sent, want %d", complete, sent, 2*part)
	}
	if want := fmt.Sprintf("bytes=%d-%d", int64(size-part), int64(size-1)); !ranges.is("", want) {
		t.Errorf("the layer was read with Range %q, want none and then %s", ranges.all, want)
	}
	if most > 256<<20 {
		t.Errorf("the heap had %d MiB in the middle, want little", most>>20)
	}
}
