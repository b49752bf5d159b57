package serve

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// damages are the ways in which a file can be damaged.
var damages = map[string]func(path string) error{
	"empty":  func(path string) error { return os.Truncate(path, 0) },
	"gone":   os.Remove,
	"folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	"half": func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()/2)
	},
	"garbage": func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, bytes.Repeat([]byte("x"), int(info.Size())), 0o600)
	},
	"longer": func(path string) error {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString("0123456789")
		return errors.Join(err, file.Close())
	},
}

// filesOf returns the files below dir that are not in before.
func filesOf(t *testing.T, dir string, before map[string]bool) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !before[path] {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whichever file of an image is damaged, and however: the image is then either intact or not
// found, and intact after it is pushed again.
func TestDamageIsRemoved(t *testing.T) {
	t.Parallel()
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			damageEach(t, damage)
		})
	}
}

// damageEach damages each file of an image, one in each of several images.
func damageEach(t *testing.T, damage func(path string) error) {
	dir := t.TempDir()
	s := inProcess(t, dir)
	known := map[string]bool{}
	ref := reference(t, s.Addr, "shop/web:one")
	for at := 0; ; at++ {
		index, err := random.Index(300, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.WriteIndex(ref, index); err != nil {
			t.Fatal(err)
		}
		files := filesOf(t, filepath.Join(dir, "images"), known)
		for _, file := range files {
			known[file] = true
		}
		tag := filepath.Join(dir, "images/docker/registry/v2/repositories/shop/web/_manifests/tags/one/current/link")
		if !slices.Contains(files, tag) { // all images share the tag
			files = append(files, tag)
		}
		if len(files) < 10 {
			t.Fatalf("files of an image: %q", files)
		}
		if at >= len(files) {
			break
		}
		file := strings.TrimPrefix(files[at], dir)
		if err := damage(files[at]); err != nil {
			t.Fatal(err)
		}
		// A node pulls it, which finds damage that only reading everything reveals.
		pulled, asked := pull(ref), asked(ref)
		if asked == http.StatusNotFound {
			if err := remote.WriteIndex(ref, index); err != nil {
				t.Errorf("%s: push again: %v", file, err)
			}
		} else if pulled != nil {
			t.Errorf("%s: it cannot be pulled (%v), and when it is asked for the answer is %d", file, pulled, asked)
		}
		if err := pull(ref); err != nil {
			t.Errorf("%s: pull after it was pushed again: %v", file, err)
		}
	}
}

// pull reads a complete index and verifies the digests.
func pull(ref name.Reference) error {
	index, err := remote.Index(ref)
	if err != nil {
		return err
	}
	return validate.Index(index)
}

// asked returns the status of a HEAD request for an image.
func asked(ref name.Reference) int {
	_, err := remote.Head(ref)
	var failed *transport.Error
	if errors.As(err, &failed) {
		return failed.StatusCode
	}
	if err != nil {
		return 0
	}
	return http.StatusOK
}

// The client is warned once, with the name of the image.
func TestDamageIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := inProcess(t, dir)
	ref := reference(t, s.Addr, "shop/web:one")
	img := image(t, 1000)
	digest := push(t, ref, img)
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (int, string) {
		t.Helper()
		answer, err := http.Head("http://" + s.Addr + "/v2/shop/web/manifests/one")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("Warning")
	}
	if status, warning := ask(); status != http.StatusOK || warning != "" {
		t.Fatalf("before: %d, %q", status, warning)
	}
	blob := keeper{filepath.Join(dir, "images")}.blob(config.Hex)
	if err := os.Truncate(filepath.Join(blob, "data"), 1); err != nil {
		t.Fatal(err)
	}
	want := `299 - "shop/web@` + digest.String() + ` is damaged, as by a full disk or a power cut: it counts as not there, and is built or copied again"`
	if status, warning := ask(); status != http.StatusNotFound || warning != want {
		t.Errorf("after: %d, %s\nwant 404, %s", status, warning, want)
	}
	if _, err := os.Stat(blob); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is damaged: %v, want that it is removed", err)
	}
	push(t, ref, img)
	if status, warning := ask(); status != http.StatusOK || warning != "" {
		t.Errorf("after it was pushed again: %d, %q", status, warning)
	}
}

// Content that is not damaged is left alone: an image without layers, an image with an empty
// index, and content that does not exist.
func TestWholeIsNotDamaged(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	for name, what := range map[string]remote.Taggable{
		"no-layers":    image(t, 0),
		"not-an-image": raw(`{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}`),
	} {
		ref := reference(t, s.Addr, name+":one")
		if err := remote.Push(ref, what); err != nil {
			t.Fatal(err)
		}
		if got := asked(ref); got != http.StatusOK {
			t.Errorf("%s: %d, want 200", name, got)
		}
	}
	for _, path := range []string{"/v2/a/manifests/none", "/v2/a/manifests/sha256:" + strings.Repeat("0", 64), "/v2/a/blobs/sha256:" + strings.Repeat("0", 64)} {
		answer, err := http.Get("http://" + s.Addr + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound || answer.Header.Get("Warning") != "" {
			t.Errorf("%s: %d, %q; want 404 without a warning", path, answer.StatusCode, answer.Header.Get("Warning"))
		}
	}
}

type raw string

func (r raw) RawManifest() ([]byte, error)        { return []byte(r), nil }
func (r raw) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }
func (r raw) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(strings.NewReader(string(r)))
	return h, err
}
func (r raw) Size() (int64, error) { return int64(len(r)), nil }
