package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// proxied starts an embedded registry behind a proxy, which can disturb what is sent.
func proxied(t *testing.T) *upstream {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: ours(t).Addr})
	proxy.FlushInterval = -1
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { aborts() }
	return newProxy(t, proxy)
}

// large returns an image with one layer of 3 MiB, and the digest of the layer.
func large(t *testing.T) (v1.Image, v1.Hash, int64) {
	t.Helper()
	img, err := random.Image(3<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := layers[0].Size()
	if err != nil {
		t.Fatal(err)
	}
	return img, digest, size
}

// requests collects requests of one method and path, with one of their headers.
type requests struct {
	mu  sync.Mutex
	all []string
}

// add adds a request and returns how many there are.
func (q *requests) add(text string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, text)
	return len(q.all)
}

func (q *requests) is(want ...string) bool { return fmt.Sprint(q.all) == fmt.Sprint(want) }

// An interrupted read continues where it was, and what has been sent is not sent again.
func TestInterruptedReadContinues(t *testing.T) {
	t.Parallel()
	for _, ranges := range []bool{true, false} {
		t.Run(fmt.Sprintf("ranges-%v", ranges), func(t *testing.T) {
			t.Parallel()
			from, to := proxied(t), proxied(t)
			img, layer, size := large(t)
			src := from.addr + "/large:1"
			push(t, src, img)
			var reads, writes requests
			from.when(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) {
					return false
				}
				n := reads.add(r.Header.Get("Range"))
				if !ranges {
					r.Header.Del("Range")
				}
				if n == 1 {
					from.half(w, r, aborts)
				}
				return false
			})
			to.when(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPatch && r.ContentLength == size {
					writes.add("")
				}
				return false
			})
			if _, copied, err := newRegistry(t, to.addr).Mirror(t.Context(), src, discard); err != nil || !copied {
				t.Fatalf("Mirror = %v, %v", copied, err)
			}
			if want := fmt.Sprintf("bytes=%d-%d", size/2, size-1); !reads.is("", want) {
				t.Errorf("the layer was read with Range %q, want none and then %s", reads.all, want)
			}
			if len(writes.all) != 1 {
				t.Errorf("the layer was sent %d times, want once", len(writes.all))
			}
		})
	}
}

// An interrupted write continues with what the registry does not have yet.
func TestInterruptedWriteContinues(t *testing.T) {
	t.Parallel()
	from, to := newUpstream(t), proxied(t)
	img, _, size := large(t)
	src := from.addr + "/large:1"
	digest := push(t, src, img)
	var writes requests
	to.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch || r.ContentLength < 1<<20 {
			return false
		}
		if writes.add(r.Header.Get("Content-Range")) > 1 {
			return false
		}
		// All that was read is in the registry before the connection ends.
		sent, err := io.ReadAll(io.LimitReader(r.Body, size/2))
		if err != nil {
			t.Error(err)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
		r.Header.Set("Content-Length", fmt.Sprint(len(sent)))
		to.real.ServeHTTP(httptest.NewRecorder(), r)
		aborts()
		return true
	})
	r := newRegistry(t, to.addr)
	ref, copied, err := r.Mirror(t.Context(), src, discard)
	if err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	if want := fmt.Sprintf("%d-%d", size/2, size-1); !writes.is("", want) {
		t.Errorf("the layer was sent with Content-Range %q, want none and then %s", writes.all, want)
	}
	if got, err := r.Resolve(t.Context(), ref); err != nil || got != digest {
		t.Errorf("Resolve = %s, %v; want %s", got, err, digest)
	}
}

// A registry that does not say how much it has of an upload gets it again from the beginning.
func TestInterruptedWriteBeginsAgain(t *testing.T) {
	t.Parallel()
	from, to := newUpstream(t), newUpstream(t)
	img, _, size := large(t)
	src := from.addr + "/large:1"
	push(t, src, img)
	var writes requests
	to.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch && r.ContentLength == size && writes.add(r.Header.Get("Content-Range")) == 1 {
			_, _ = io.CopyN(io.Discard, r.Body, size/2)
			aborts()
		}
		return false
	})
	if _, copied, err := newRegistry(t, to.addr).Mirror(t.Context(), src, discard); err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	if !writes.is("", "") {
		t.Errorf("the layer was sent with Content-Range %q, want it twice and whole", writes.all)
	}
}

// A copy that is cancelled and run again by another process does not send the blobs again that
// were complete.
func TestCancelledCopyIsResumed(t *testing.T) {
	t.Parallel()
	from, to := newUpstream(t), proxied(t)
	img, layer, size := large(t)
	small, err := random.Layer(1000, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, small); err != nil {
		t.Fatal(err)
	}
	src := from.addr + "/large:1"
	push(t, src, img)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The small blobs are held up until the large one is complete.
	complete := make(chan struct{})
	from.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && !strings.HasSuffix(r.URL.Path, layer.String()) {
			<-complete
			cancel()
			aborts()
		}
		return false
	})
	to.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.RawQuery, url.QueryEscape(layer.String())) {
			return false
		}
		to.real.ServeHTTP(w, r)
		close(complete)
		return true
	})
	first := newRegistry(t, to.addr)
	if _, _, err := first.Mirror(ctx, src, discard); !errors.Is(err, context.Canceled) {
		t.Fatalf("Mirror = %v, want it cancelled", err)
	}
	var sent requests
	from.when(nil)
	to.when(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength > 0 {
			sent.add(fmt.Sprint(r.ContentLength))
		}
		return false
	})
	if _, copied, err := newRegistry(t, to.addr).Mirror(t.Context(), src, discard); err != nil || !copied {
		t.Fatalf("Mirror again = %v, %v", copied, err)
	}
	for _, n := range sent.all {
		if n == fmt.Sprint(size) {
			t.Errorf("blobs of %s bytes were sent, want the large one not sent again", sent.all)
		}
	}
	if len(sent.all) < 2 {
		t.Errorf("blobs of %s bytes were sent, want the configuration and the small layer", sent.all)
	}
}

// What a registry serves under a wrong digest is not published, and the error says who is wrong.
func TestWrongContent(t *testing.T) {
	t.Parallel()
	from, to := newUpstream(t), proxied(t)
	img, layer, size := large(t)
	src := from.addr + "/large:1"
	push(t, src, img)
	from.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.Copy(w, bytes.NewReader(make([]byte, size)))
		return true
	})
	_, _, err := newRegistry(t, to.addr).Mirror(t.Context(), src, discard)
	want := fmt.Sprintf("mirror image %s: image %s/large@%s: registry %s serves other content for %s than the digest says: the image is damaged in the registry: push it again, or use another image",
		src, from.addr, layer, from.addr, layer)
	if err == nil || err.Error() != want {
		t.Errorf("Mirror = %v\nwant %s", err, want)
	}
	repo := to.addr + "/mirror/" + strings.ReplaceAll(from.addr, ":", "_") + "/large"
	if _, err := remote.Head(mustRef(t, repo+":1")); err == nil {
		t.Error("the tag is in the mirror")
	}
	if _, err := remote.Head(mustRef(t, repo+"@"+layer.String())); err == nil {
		t.Error("the layer is in the mirror")
	}
}

// A part of a blob that is followed by something else, such as the page of a proxy, is an
// interruption.
func TestMixedContent(t *testing.T) {
	t.Parallel()
	from, to := newUpstream(t), proxied(t)
	img, layer, size := large(t)
	src := from.addr + "/large:1"
	push(t, src, img)
	var reads requests
	from.when(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) || reads.add("") > 1 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		fmt.Fprint(w, "<html>please log in</html>")
		_ = http.NewResponseController(w).Flush()
		aborts()
		return true
	})
	if _, copied, err := newRegistry(t, to.addr).Mirror(t.Context(), src, discard); err != nil || !copied {
		t.Errorf("Mirror = %v, %v", copied, err)
	}
}

// Some registries refuse HEAD requests for manifests, or for blobs, that they answer to GET.
func TestHeadIsRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			from, to := newUpstream(t), newUpstream(t)
			src := from.addr + "/redis:7"
			digest := push(t, src, image(t))
			refuse := func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodHead {
					return false
				}
				w.WriteHeader(status)
				return true
			}
			from.when(refuse)
			to.when(refuse)
			r := newRegistry(t, to.addr)
			ref, copied, err := r.Mirror(t.Context(), src, discard)
			if err != nil || !copied || !strings.HasSuffix(ref, string(digest)) {
				t.Fatalf("Mirror = %s, %v, %v", ref, copied, err)
			}
			if ref, copied, err := r.Mirror(t.Context(), src, discard); err != nil || copied {
				t.Errorf("Mirror again = %s, %v, %v; want it found", ref, copied, err)
			}
		})
	}
}

// Credentials may run out while a blob is copied, on both sides.
func TestCredentialsRunOutInTheMiddle(t *testing.T) {
	t.Parallel()
	from, to := proxied(t), proxied(t)
	img, layer, size := large(t)
	src := from.addr + "/large:1"
	push(t, src, img)
	r := newRegistry(t, to.addr)
	for _, u := range []*upstream{from, to} {
		useHelper(t, u.addr, "fake")
		logIn(t, u.addr, "pipe:old")
		valid := "old"
		var mu sync.Mutex
		u.when(func(w http.ResponseWriter, q *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if _, password, _ := q.BasicAuth(); password != valid {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			cut := q.Method == http.MethodGet && strings.HasSuffix(q.URL.Path, layer.String()) || q.Method == http.MethodPatch && q.ContentLength == size
			if !cut || valid != "old" {
				return false
			}
			valid = "new"
			logIn(t, u.addr, "pipe:new")
			r.mu.Lock()
			r.session.began = time.Now().Add(-time.Minute)
			r.mu.Unlock()
			if q.Method == http.MethodGet {
				u.half(w, q, aborts)
			}
			_, _ = io.CopyN(io.Discard, q.Body, size/4)
			aborts()
			return true
		})
	}
	if _, copied, err := r.Mirror(t.Context(), src, discard); err != nil || !copied {
		t.Errorf("Mirror = %v, %v", copied, err)
	}
}

// The blobs of an image in the same registry are mounted, not read.
func TestMirrorMountsWithinARegistry(t *testing.T) {
	t.Parallel()
	u := proxied(t)
	src := u.addr + "/elsewhere/redis:7"
	push(t, src, image(t))
	var mounts, reads requests
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		query := r.URL.Query()
		switch {
		case r.Method == http.MethodPost && query.Get("from") == "elsewhere/redis" && query.Get("mount") != "":
			mounts.add("")
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/"):
			reads.add(r.URL.Path)
		}
		return false
	})
	r := newRegistry(t, u.addr+"/shop")
	if _, copied, err := r.Mirror(t.Context(), src, discard); err != nil || !copied {
		t.Fatalf("Mirror = %v, %v", copied, err)
	}
	if len(mounts.all) < 3 {
		t.Errorf("%d blobs were mounted, want 3", len(mounts.all))
	}
	if len(reads.all) > 0 {
		t.Errorf("%s were read, want them mounted", reads.all)
	}
}

func TestRedirectsIntoPrivateNetworks(t *testing.T) {
	t.Parallel()
	from := &url.URL{Scheme: "https", Host: "registry.test:5000"}
	for host, ok := range map[string]bool{
		"registry.test": true, "storage.test": true, "8.8.8.8:443": true,
		"127.0.0.1:1": false, "10.0.0.1": false, "169.254.169.254": false, "[::1]:80": false, "[::ffff:10.0.0.1]": false, "0.0.0.0": false, "2130706433": false, "0x7f.1": false,
	} {
		if err := elsewhere(from, &url.URL{Scheme: "https", Host: host}); (err == nil) != ok {
			t.Errorf("a redirect to %s: %v, want it followed: %v", host, err, ok)
		}
	}
	if err := elsewhere(&url.URL{Host: "10.0.0.1:5000"}, &url.URL{Host: "10.0.0.1:5001"}); err != nil {
		t.Errorf("a redirect to the same private host: %v", err)
	}
}

// Registries that never send all of a blob, take all of it, or send something else, end in an
// error with a next step.
func TestBrokenRegistries(t *testing.T) {
	t.Parallel()
	img, layer, size := large(t)
	for name, row := range map[string]struct {
		from, to func(http.ResponseWriter, *http.Request) bool
		want     string
	}{
		"half": {from: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) {
				return false
			}
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 1000))
			return true
		}, want: "image FROM/large@" + layer.String() + ": registry FROM ends its connections too early: try again, or ask its operator"},
		"page": {from: func(w http.ResponseWriter, r *http.Request) bool {
			fmt.Fprint(w, "<html>")
			return true
		}, want: "registry FROM: it answers with something that is not a manifest: invalid character '<' looking for beginning of value: check its address"},
		"private redirect": {from: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) {
				return false
			}
			http.Redirect(w, r, "https://169.254.169.254/x", http.StatusTemporaryRedirect)
			return true
		}, want: "registry FROM: it redirects to 169.254.169.254, which is in a private network"},
		"cut uploads": {to: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch && r.ContentLength == size {
				aborts()
			}
			return false
		}, want: "registry TO ends its connections too early: try again, or ask its operator"},
		"false status": {to: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch && r.ContentLength == size {
				aborts()
			}
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/uploads/") {
				return false
			}
			w.Header().Set("Range", fmt.Sprintf("0-%d", size-1))
			w.WriteHeader(http.StatusNoContent)
			return true
		}, want: "(provided digest did not match uploaded content): try again, or ask its operator"},
		"no space": {to: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch || r.ContentLength != size {
				return false
			}
			w.WriteHeader(http.StatusInsufficientStorage)
			return true
		}, want: "registry TO has no space left: free some space, or raise its quota"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := newUpstream(t), proxied(t)
			src := from.addr + "/large:1"
			push(t, src, img)
			from.when(row.from)
			to.when(row.to)
			_, _, err := newRegistry(t, to.addr).Mirror(t.Context(), src, discard)
			want := strings.NewReplacer("FROM", from.addr, "TO", to.addr).Replace(row.want)
			if err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("Mirror = %v\nwant …%s", err, want)
			}
			if _, err := remote.Head(mustRef(t, to.addr+"/mirror/"+strings.ReplaceAll(from.addr, ":", "_")+"/large:1")); err == nil {
				t.Error("the tag is in the mirror")
			}
		})
	}
}

// A transport goes on reading the body of a request after an early answer, such as "no space".
// Ending the download ends that, waits for it, and is not a failure of the other registry.
func TestEndedDownload(t *testing.T) {
	t.Parallel()
	reading, done := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	c := &copier{registry: newRegistry(t, ours(t).Addr), from: repo, emit: discard, transfer: newTransfer("it", nil, discard)}
	d := c.download(t.Context(), "copy it", v1.Descriptor{Digest: digest, Size: 100}, 0)
	var read string
	var failed error
	go func() {
		defer close(done)
		p := make([]byte, 100)
		for failed == nil {
			var n int
			n, failed = d.Read(p)
			if read += string(p[:n]); read == "half" && n > 0 {
				close(reading)
			}
		}
	}()
	<-reading
	if err := d.end(); err != nil {
		t.Errorf("ending it fails with %v", err)
	}
	<-done
	if read != "half" || !errors.Is(failed, errClosed) || d.at != 4 {
		t.Errorf("it read %q and ended with %v at %d", read, failed, d.at)
	}
	if n, err := d.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errClosed) {
		t.Errorf("a read after the end: %d %v", n, err)
	}
}
