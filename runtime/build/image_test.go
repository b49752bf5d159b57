package build_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/runtime"
)

// walkImage calls fn for each file in the file system of an image.
func walkImage(t testing.TB, image v1.Image, fn func(h *tar.Header, r io.Reader)) {
	t.Helper()
	all := mutate.Extract(image)
	defer all.Close()
	for r := tar.NewReader(all); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		h.Name = strings.TrimPrefix(h.Name, "./")
		fn(h, r)
	}
}

func readImage(t testing.TB, image v1.Image, name string) string {
	t.Helper()
	var content []byte
	walkImage(t, image, func(h *tar.Header, r io.Reader) {
		if h.Name == name {
			var err error
			if content, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	})
	if content == nil {
		t.Fatalf("%s is not in the image, which has %q", name, listImage(t, image))
	}
	return string(content)
}

func listImage(t testing.TB, image v1.Image) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(modesOf(t, image)))
}

// modesOf returns modes and link targets by name. The name of a directory ends in a slash.
func modesOf(t testing.TB, image v1.Image) map[string]string {
	t.Helper()
	found := map[string]string{}
	walkImage(t, image, func(h *tar.Header, _ io.Reader) {
		if name := h.Name; name != "/" && name != "" {
			if h.Typeflag == tar.TypeDir && !strings.HasSuffix(name, "/") {
				name += "/"
			}
			found[name] = fmt.Sprintf("%o %s", h.Mode&0o7777, h.Linkname)
		}
	})
	return found
}

// steps returns the events of the steps whose names contain text, without those that report
// only bytes.
func (r *record) steps(text string) []runtime.BuildStep {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []runtime.BuildStep
	for _, b := range r.events {
		if e, ok := b.(runtime.BuildStep); ok && strings.Contains(e.Name, text) && (e.Started || e.Done) {
			found = append(found, e)
		}
	}
	return found
}

// lines returns the output lines.
func (r *record) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, b := range r.events {
		if e, ok := b.(runtime.Log); ok {
			found = append(found, e.Text)
		}
	}
	return found
}

// platformsOf returns the platforms of a multi-platform image.
func platformsOf(t testing.TB, ref string) []string {
	t.Helper()
	n, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(n)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range m.Manifests {
		found = append(found, d.Platform.String())
	}
	return found
}
