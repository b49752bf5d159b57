package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// aged makes everything that s keeps older than the grace of a collection.
func aged(t *testing.T, s *Server) {
	t.Helper()
	old := time.Now().Add(-2 * collectGrace)
	err := filepath.WalkDir(s.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// collected collects the garbage of s over HTTP.
func collected(t *testing.T, s *Server) Collected {
	t.Helper()
	answer, err := http.Post("http://"+s.Addr+CollectPath, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var done Collected
	if err := json.NewDecoder(answer.Body).Decode(&done); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("collect: %s, %v", answer.Status, err)
	}
	return done
}

func removed(t *testing.T, ref name.Reference, digest v1.Hash) {
	t.Helper()
	if err := remote.Delete(ref.Context().Digest(digest.String())); err != nil {
		t.Fatal(err)
	}
}

// whole pulls all of an image or an index.
func whole(t *testing.T, ref name.Reference) {
	t.Helper()
	desc, err := remote.Get(ref)
	switch {
	case err != nil:
	case desc.MediaType.IsIndex():
		err = pull(ref)
	default:
		var img v1.Image
		if img, err = desc.Image(); err == nil {
			err = validate.Image(img)
		}
	}
	if err != nil {
		t.Errorf("pull %s: %v", ref, err)
	}
}

func layer(t *testing.T, size int64) v1.Layer {
	t.Helper()
	l, err := random.Layer(size, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func with(t *testing.T, base v1.Image, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestCollect: the space of an image that was deleted is freed, and everything that another
// image has, in whatever repository and whether it has a tag or not, is kept.
func TestCollect(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	shared := layer(t, 5000)
	gone, kept := reference(t, s.Addr, "shop/web:one"), reference(t, s.Addr, "shop/api:one")
	digest := push(t, gone, with(t, image(t, 70_000), shared))
	push(t, kept, with(t, image(t, 1000), shared))
	index, err := random.Index(500, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	listed := reference(t, s.Addr, "shop/many:one")
	if err := remote.WriteIndex(listed, index); err != nil {
		t.Fatal(err)
	}
	// An image without a tag, as watch mode pushes it; an odd name of a repository.
	untagged := image(t, 1000)
	of, err := untagged.Digest()
	if err != nil {
		t.Fatal(err)
	}
	bare := reference(t, s.Addr, "shop/web@"+of.String())
	odd := reference(t, s.Addr, "revisions/sha256/"+strings.Repeat("a", 64)+":one")
	push(t, bare, untagged)
	push(t, odd, image(t, 1000))

	aged(t, s)
	if done := collected(t, s); done != (Collected{}) {
		t.Errorf("with all images there it removed %+v", done)
	}
	removed(t, gone, digest)
	aged(t, s)
	if done := collected(t, s); done.Blobs != 3 || done.Bytes < 70_000 { // manifest, configuration, layer
		t.Errorf("it removed %+v, want the three blobs of the deleted image", done)
	}
	for _, ref := range []name.Reference{kept, listed, bare, odd} {
		whole(t, ref)
	}
	if done := collected(t, s); done != (Collected{}) {
		t.Errorf("the second time it removed %+v", done)
	}
	push(t, gone, with(t, image(t, 1000), shared))
	whole(t, gone)
}

// TestCollectKeepsPushes: what a push has written, or was told to be there already, is kept
// until its manifest is written.
func TestCollectKeepsPushes(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	at := reference(t, s.Addr, "shop/web:one")
	base := layer(t, 1000)
	other := reference(t, s.Addr, "shop/other:one")
	first := push(t, other, with(t, image(t, 1000), base))
	removed(t, other, first)
	aged(t, s)

	for how, upload := range map[string]func() error{
		"a new blob": func() error { return remote.WriteLayer(at.Context(), layer(t, 3000)) },
		"a blob that is there": func() error {
			digest, err := base.Digest()
			if err != nil {
				return err
			}
			answer, err := http.Post("http://"+s.Addr+"/v2/shop/web/blobs/uploads/?from=shop%2Fother&mount="+strings.Replace(digest.String(), ":", "%3A", 1), "", nil)
			if err == nil && answer.StatusCode != http.StatusCreated {
				err = errors.New(answer.Status)
			}
			return err
		},
	} {
		if err := upload(); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
	}
	if done := collected(t, s); done.Blobs != 3 { // the manifest, the configuration and a layer of the first
		t.Errorf("it removed %+v, want three blobs", done)
	}
	digest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if l, err := remote.Layer(at.Context().Digest(digest.String())); err != nil {
		t.Error(err)
	} else if _, err := l.Size(); err != nil {
		t.Errorf("the layer that was mounted: %v", err)
	}
}

// TestCollectWhilePushing pushes images of old and new layers while garbage is collected. None
// is damaged.
func TestCollectWhilePushing(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	var old []v1.Layer
	for range 4 {
		l := layer(t, 2000)
		ref := reference(t, s.Addr, "shop/old:one")
		removed(t, ref, push(t, ref, with(t, image(t, 100), l)))
		old = append(old, l)
	}
	aged(t, s)
	done := make(chan struct{})
	var collections sync.WaitGroup
	collections.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				collected(t, s)
			}
		}
	})
	var pushes sync.WaitGroup
	for i := range 4 {
		pushes.Go(func() {
			for j := range 5 {
				ref := reference(t, s.Addr, "shop/new:"+string(rune('a'+i))+string(rune('a'+j)))
				if err := remote.Write(ref, with(t, image(t, 100), old[i])); err != nil {
					t.Errorf("push %s: %v", ref, err)
					continue
				}
				whole(t, ref)
			}
		})
	}
	pushes.Wait()
	close(done)
	collections.Wait()
}

// TestCollectRefuses: nothing is removed if it is not known what is needed, or by somebody
// else than the owner.
func TestCollectRefuses(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	ref := reference(t, s.Addr, "shop/web:one")
	push(t, ref, image(t, 1000))
	aged(t, s)
	repositories := filepath.Join(s.root, "docker/registry/v2/repositories")
	collect := func() error {
		_, err := s.garbage.collect(t.Context())
		return err
	}
	for _, test := range []struct {
		name         string
		break_, mend func() error
		fails        bool
	}{
		{"repositories that are elsewhere", func() error { return os.Rename(repositories, repositories+".x") },
			func() error { return os.Rename(repositories+".x", repositories) }, false},
		{"a link", func() error {
			return errors.Join(os.Rename(repositories+"/shop", repositories+"/../shop"), os.Symlink("../shop", repositories+"/shop"))
		}, func() error {
			return errors.Join(os.Remove(repositories+"/shop"), os.Rename(repositories+"/../shop", repositories+"/shop"))
		}, true},
		{"all that is linked", func() error {
			return errors.Join(os.Rename(repositories, repositories+".x"), os.Symlink("repositories.x", repositories))
		}, func() error {
			return errors.Join(os.Remove(repositories), os.Rename(repositories+".x", repositories))
		}, false},
	} {
		if err := test.break_(); err != nil {
			t.Fatal(err)
		}
		if err := collect(); (err != nil) != test.fails {
			t.Errorf("%s: collect = %v, want an error: %v", test.name, err, test.fails)
		}
		if err := test.mend(); err != nil {
			t.Fatal(err)
		}
		whole(t, ref)
	}

	w, err := newWriter(t.TempDir(), s.garbage)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, _ := http.NewRequestWithContext(t.Context(), method, CollectPath, bytes.NewReader(nil))
		answer := &noted{header: http.Header{}}
		if w.ServeHTTP(answer, r); answer.status < 400 {
			t.Errorf("%s without a password: status %d", method, answer.status)
		}
	}
}

// noted notes the status of an answer.
type noted struct {
	header http.Header
	status int
}

func (n *noted) Header() http.Header         { return n.header }
func (n *noted) Write(p []byte) (int, error) { return len(p), nil }
func (n *noted) WriteHeader(status int)      { n.status = status }

// TestDeleteUnlessPushedMeanwhile: a manifest that was pushed, or asked for by a push, since
// the date of a deletion is kept.
func TestDeleteUnlessPushedMeanwhile(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	ref := reference(t, s.Addr, "shop/web:one")
	img := image(t, 1000)
	digest := push(t, ref, img)
	by := ref.Context().Digest(digest.String())
	since := time.Now().Add(-time.Minute)
	remove := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+s.Addr+"/v2/shop/web/manifests/"+digest.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-Unmodified-Since", since.UTC().Format(http.TimeFormat))
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for how, use := range map[string]func() error{
		"push":             func() error { push(t, ref, img); return nil },
		"push of a digest": func() error { push(t, by, img); return nil },
		"HEAD":             func() error { _, err := remote.Head(by); return err },
	} {
		aged(t, s)
		if err := use(); err != nil {
			t.Fatal(err)
		}
		if got := remove(); got != http.StatusPreconditionFailed {
			t.Errorf("deletion after a %s: status %d, want 412", how, got)
		}
		whole(t, ref)
	}
	aged(t, s)
	if _, err := remote.Get(by); err != nil { // who prunes reads it
		t.Fatal(err)
	}
	if got := remove(); got != http.StatusAccepted {
		t.Errorf("deletion of an old one: status %d, want 202", got)
	}
}
