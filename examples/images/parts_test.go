package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// A package with the things that packages have: paths outside /usr, links, documents, and an owner.
func testDeb(t *testing.T, dir string) string {
	t.Helper()
	root := filepath.Join(dir, "package")
	for file, content := range map[string]string{
		"DEBIAN/control":                       "Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: thing\n",
		"bin/thing":                            "#!/bin/sh\n",
		"usr/lib/thing/data":                   "data",
		"usr/lib/thing/bitcode/x.bc":           "bitcode",
		"usr/share/doc/thing/copyright":        "free",
		"usr/share/doc/thing/changelog":        "long",
		"usr/share/man/man1/thing.1":           "manual",
		"usr/share/locale/fr/LC_MESSAGES/x.mo": "texte",
	} {
		file = filepath.Join(root, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(root, "bin/thing"), filepath.Join(root, "usr/lib/thing/linked")); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(dir, "thing.deb")
	cmd := exec.Command("dpkg-deb", "--root-owner-group", "--build", root, deb)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v: %s", err, out)
	}
	return deb
}

func TestLayerOfPackage(t *testing.T) {
	_, err := exec.LookPath("dpkg-deb")
	need(t, "real", err == nil, "dpkg-deb is not here")
	deb := testDeb(t, t.TempDir())
	var digests []v1.Hash
	dir := t.TempDir()
	for range 2 {
		l, err := NewLayer(dir, []string{"usr/lib/*/bitcode"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Abandon()
		err = errors.Join(l.Dir("usr", Owner{0, 0o755}), l.Link("bin", "usr/bin"), l.Dir("data", Owner{7, 0o1777}),
			l.File("etc/passwd", 0o644, []byte("root")), l.Deb(t.Context(), deb))
		if err != nil {
			t.Fatal(err)
		}
		d, _, err := l.Finish(dir)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("the same things gave %s and %s", digests[0], digests[1])
	}
	packed, err := os.Open(filepath.Join(dir, digests[0].Hex))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	content, err := zstd.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	tar := exec.Command("tar", "--numeric-owner", "-tvf", "-")
	tar.Stdin = content
	out, err := tar.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+f[1]+" "+strings.Join(f[5:], " "))
	}
	want := []string{
		"drwxr-xr-x 0/0 usr/", "lrwxrwxrwx 0/0 bin -> usr/bin", "drwxrwxrwt 7/7 data/", "-rw-r--r-- 0/0 etc/passwd",
		"-rwxr-xr-x 0/0 usr/bin/thing", "drwxr-xr-x 0/0 usr/lib/", "drwxr-xr-x 0/0 usr/lib/thing/", "-rwxr-xr-x 0/0 usr/lib/thing/data",
		"hrwxr-xr-x 0/0 usr/lib/thing/linked link to usr/bin/thing", "drwxr-xr-x 0/0 usr/share/", "drwxr-xr-x 0/0 usr/share/doc/", "-rwxr-xr-x 0/0 usr/share/doc/thing/copyright",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the layer holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestServe(t *testing.T) {
	s := Store(t.TempDir())
	if err := os.MkdirAll(s.blobs(), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := s.PutJSON(v1.Manifest{SchemaVersion: 2}, "application/vnd.oci.image.manifest.v1+json")
	if err != nil {
		t.Fatal(err)
	}
	d.Annotations = map[string]string{annotationName: "thing:1"}
	if err := s.Add(d); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/v2/", 200},
		{"GET", "/v2/thing/manifests/1", 200},
		{"HEAD", "/v2/thing/manifests/" + d.Digest.String(), 200},
		{"GET", "/v2/thing/tags/list", 200},
		{"GET", "/v2/thing/blobs/" + d.Digest.String(), 200},
		{"GET", "/v2/thing/manifests/2", 404},
		{"GET", "/v2/other/manifests/1", 404},
		{"GET", "/v2/thing/blobs/sha256:" + strings.Repeat("0", 64), 404},
		{"GET", "/v2/thing/blobs/../../index.json", 404},
		{"PUT", "/v2/thing/manifests/1", 405},
		{"GET", "/", 404},
	} {
		r, err := http.NewRequestWithContext(t.Context(), test.method, server.URL+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != test.status {
			t.Errorf("%s %s = %d, want %d: %s", test.method, test.path, answer.StatusCode, test.status, body)
		}
	}
}

func TestUpAndDown(t *testing.T) {
	s := Store(t.TempDir())
	ctx := t.Context()
	t.Cleanup(func() { _ = down(context.Background(), s, io.Discard) })
	first, err := up(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := up(ctx, s)
	if err != nil || again != first {
		t.Errorf("up again = %s, %v; want %s", again, err, first)
	}
	known, err := s.registry()
	if err != nil {
		t.Fatal(err)
	}
	// After a kill it comes back where it was: addresses are in what was built.
	if err := syscall.Kill(known.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the killed registry", new(bytes.Buffer), func() error {
		if running, err := locked(s.alive()); running {
			return errors.Join(err, errors.New("still there"))
		}
		return nil
	})
	if after, err := up(ctx, s); err != nil || after != first {
		t.Errorf("up after a kill = %s, %v; want %s", after, err, first)
	}
	var out bytes.Buffer
	if err := down(ctx, s, &out); err != nil || !strings.Contains(out.String(), first) {
		t.Errorf("down = %v, printed %q", err, &out)
	}
	if answers(ctx, first) {
		t.Errorf("%s answers after down", first)
	}
	out.Reset()
	if err := down(ctx, s, &out); err != nil || out.Len() > 0 {
		t.Errorf("down again = %v, printed %q", err, &out)
	}
}

func TestRunUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"fly"}, {"up", "-from", "mars"}, {"up", "-x"}, {"make", "more"}} {
		if err := run(t.Context(), append(args, []string(nil)...), io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("images %v = %v, want a word on its usage", args, err)
		}
	}
}
