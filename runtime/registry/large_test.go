package registry

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// zeros are a blob of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A largeSource is a registry with an image whose layer is zeros: large:1.
type largeSource struct {
	*upstream
	root     string // the digest of the manifest
	manifest []byte
	ranges   requests     // of the layer
	most     atomic.Int64 // bytes of the heap in use while the layer was sent
}

// newLargeSource returns a source whose layer has the given size, and the given digest, right
// or not.
func newLargeSource(t *testing.T, size int64, layer string) *largeSource {
	t.Helper()
	config := []byte("{}")
	digest := func(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }
	of := func(media types.MediaType, size int64, digest string) v1.Descriptor {
		hash, err := v1.NewHash(digest)
		if err != nil {
			t.Fatal(err)
		}
		return v1.Descriptor{MediaType: media, Size: size, Digest: hash}
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: of(types.OCIConfigJSON, int64(len(config)), digest(config)),
		Layers: []v1.Descriptor{of(types.OCILayer, size, layer)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &largeSource{root: digest(manifest), manifest: manifest}
	s.upstream = newProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]; last {
		case "": // of /v2/
		case layer:
			s.ranges.add(r.Header.Get("Range"))
			at := int64(0)
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at); err == nil {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, size-1, size))
				w.Header().Set("Content-Length", fmt.Sprint(size-at))
				w.WriteHeader(http.StatusPartialContent)
			} else {
				w.Header().Set("Content-Length", fmt.Sprint(size))
			}
			s.send(w, size-at)
		case "1", s.root:
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			w.Header().Set("Docker-Content-Digest", s.root)
			_, _ = w.Write(manifest)
		case digest(config):
			_, _ = w.Write(config)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	return s
}

// send sends bytes of the layer until nobody reads them, and looks at the memory in between.
func (s *largeSource) send(w io.Writer, size int64) {
	const part = 16 << 20
	for ; size > 0; size -= part {
		if _, err := io.CopyN(w, zeros{}, min(size, part)); err != nil {
			return
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		s.most.Store(max(s.most.Load(), int64(memory.HeapInuse)))
	}
}

// mostLarge is what the heap may have while a layer of any size is copied, in bytes.
const mostLarge = 256 << 20

var layerSize = flag.Int64("layer", 256<<20, "the size of the layer that TestLargeLayerWhole copies, in bytes")

// A large layer is copied whole in little memory, and has its digest in the registry.
func TestLargeLayerWhole(t *testing.T) {
	sum := sha256.New()
	if _, err := io.CopyN(sum, zeros{}, *layerSize); err != nil {
		t.Fatal(err)
	}
	layer := fmt.Sprintf("sha256:%x", sum.Sum(nil))
	from := newLargeSource(t, *layerSize, layer)
	to := ours(t).Addr
	ref, copied, err := newRegistry(t, to).Mirror(t.Context(), from.addr+"/large:1", discard)
	if err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	if most := from.most.Load(); most == 0 || most > mostLarge {
		t.Errorf("the heap had %d MiB in the middle, want little", most>>20)
	}
	if !from.ranges.is("") {
		t.Errorf("the layer was read with Range %q, want once", from.ranges.all)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := remote.Layer(parsed.Context().Digest(layer))
	if err != nil {
		t.Fatal(err)
	}
	content, err := kept.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	sum.Reset()
	n, err := io.Copy(sum, content)
	if got := fmt.Sprintf("sha256:%x", sum.Sum(nil)); err != nil || n != *layerSize || got != layer {
		t.Errorf("the registry has %d bytes of the layer with digest %s, want %d and %s: %v", n, got, *layerSize, layer, err)
	}
}

// A layer of 20 GiB is copied in little memory. The upload is interrupted early, and the registry
// answers that it has all but the last part, so that only this part is sent: the test does not
// send 20 GiB.
func TestLargeLayer(t *testing.T) {
	const size, part = 20 << 30, 64 << 20
	// Not the digest of the content: the copy cannot compute that, because it was interrupted.
	layer := "sha256:" + strings.Repeat("a", 64)
	from := newLargeSource(t, size, layer)
	to := proxied(t)
	var mu sync.Mutex
	var has, sent int64 // bytes of the layer: in the registry, and sent
	complete := false
	to.when(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		large := strings.Contains(r.URL.Path, "/uploads/large")
		switch {
		case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
			// The real registry would look for the layer.
			w.Header().Set("Docker-Content-Digest", from.root)
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, layer), r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") && !complete:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Docker-Content-Digest", from.root)
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			w.Header().Set("Content-Length", fmt.Sprint(len(from.manifest)))
		case r.Method == http.MethodPatch && (large || r.ContentLength == size):
			n, _ := io.Copy(io.Discard, io.LimitReader(r.Body, part))
			sent += n
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
	if want := fmt.Sprintf("bytes=%d-%d", int64(size-part), int64(size-1)); !from.ranges.is("", want) {
		t.Errorf("the layer was read with Range %q, want none and then %s", from.ranges.all, want)
	}
	if most := from.most.Load(); most == 0 || most > mostLarge {
		t.Errorf("the heap had %d MiB in the middle, want little", most>>20)
	}
}
