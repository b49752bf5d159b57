package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

func TestSameMirrorAtOnce(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/redis:7"
	digest := push(t, src, image(t))
	slow := make(chan struct{})
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			<-slow
		}
		return false
	})
	u.seen("")
	ctx, cancel := context.WithCancelCause(t.Context())
	left := make(chan error, 1)
	go func() { // the first caller, which leaves
		_, _, err := r.Mirror(ctx, src, discard)
		left <- err
	}()
	waitFor(t, "the first has begun", func() bool { return r.mirrors.Waiting() == 1 })
	var wait sync.WaitGroup
	all := make([]events, 5)
	for i := range all {
		wait.Go(func() {
			ref, _, err := r.Mirror(t.Context(), src, all[i].emit)
			if err != nil || !strings.HasSuffix(ref, "@"+string(digest)) {
				t.Errorf("Mirror = %s, %v", ref, err)
			}
		})
	}
	waitFor(t, "all wait", func() bool { return r.mirrors.Waiting() == 6 })
	cancel(errors.New("interrupted"))
	if err := <-left; err == nil || err.Error() != "interrupted" {
		t.Errorf("who left got %v", err)
	}
	close(slow)
	wait.Wait()
	if got := u.seen("/blobs/"); len(got) != 3 {
		t.Errorf("requests for blobs = %v, want three", got)
	}
	for i := range all {
		if len(all[i].all) == 0 {
			t.Errorf("caller %d was told nothing", i)
		}
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("after a minute it is not so: %s", what)
}

func TestCancelledMirrorLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	src := u.addr + "/redis:7"
	push(t, src, image(t))
	begun := make(chan struct{}, 10)
	u.when(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			begun <- struct{}{}
			<-r.Context().Done()
			return true
		}
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if _, _, err := r.Mirror(ctx, src, discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Mirror = %v, want that it was cancelled", err)
	}
	if n := r.mirrors.Waiting(); n != 0 {
		t.Errorf("%d still wait", n)
	}
	u.when(nil)
	if _, there, err := r.Mirrored(t.Context(), src); err != nil || there {
		t.Errorf("after that: there = %v, %v", there, err)
	}
	if _, copied := mirror(t, r, src); !copied {
		t.Error("the next one did not copy")
	}
}

// Two images with the same base are copied concurrently: the base is sent once.
func TestSharedLayersAtOnce(t *testing.T) {
	t.Parallel()
	s, u := ours(t), newUpstream(t)
	r := newRegistry(t, s.Addr)
	base := image(t)
	var wait sync.WaitGroup
	for i := range 6 {
		own, err := random.Layer(300, "application/vnd.docker.image.rootfs.diff.tar.gzip")
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.AppendLayers(base, own)
		if err != nil {
			t.Fatal(err)
		}
		push(t, fmt.Sprintf("%s/web%d:1", u.addr, i), img)
	}
	u.seen("")
	for i := range 6 {
		wait.Go(func() { mirror(t, r, fmt.Sprintf("%s/web%d:1", u.addr, i)) })
	}
	wait.Wait()
	layers, err := base.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got := u.seen(digest.String()); len(got) != 1 {
		t.Errorf("the shared layer was asked for in %v, want once", got)
	}
}
