package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sirupsen/logrus"

	"github.com/pipelinefile/pipe/internal/background"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "daemon" {
		idle, err := time.ParseDuration(os.Args[3])
		if err == nil {
			err = Serve(context.Background(), Options{Dir: os.Args[2], Idle: idle})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	logrus.SetOutput(io.Discard)
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or each process takes a second to end with the race detector
	os.Exit(m.Run())
}

func inBackground(t *testing.T, dir, idle string) Options {
	o := Options{Dir: dir, Args: []string{"daemon", dir, idle}}
	t.Cleanup(func() {
		if err := o.Process().Stop(context.Background()); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return o
}

func ensure(t *testing.T, o Options) *background.Attached {
	t.Helper()
	a, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatalf("Ensure = %v", err)
	}
	t.Cleanup(a.Release)
	return a
}

func inProcess(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: dir, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func reference(t *testing.T, addr, rest string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(addr + "/" + rest)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func image(t *testing.T, size int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func push(t *testing.T, ref name.Reference, img v1.Image) v1.Hash {
	t.Helper()
	if err := remote.Write(ref, img); err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestImagesAndIndexes(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	ref := reference(t, s.Addr, "shop/web:one")
	digest := push(t, ref, image(t, 1000))
	if desc, err := remote.Head(ref); err != nil || desc.Digest != digest {
		t.Errorf("Head = %v, %v; want %v", desc, err, digest)
	}
	index, err := random.Index(500, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	multi := reference(t, s.Addr, "shop/web:many")
	if err := remote.WriteIndex(multi, index); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Index(multi); err != nil {
		t.Error(err)
	}
	byDigest := ref.Context().Digest(digest.String())
	if err := remote.Delete(byDigest); err != nil {
		t.Errorf("Delete = %v", err)
	}
	var failed *transport.Error
	if _, err := remote.Head(ref); !errors.As(err, &failed) || failed.StatusCode != http.StatusNotFound {
		t.Errorf("Head after Delete = %v, want 404", err)
	}
}

// Images of Windows have layers that only their vendor may distribute.
func TestForeignLayers(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	layer, err := random.Layer(100, types.DockerForeignLayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Append(image(t, 100), mutate.Addendum{Layer: layer, MediaType: types.DockerForeignLayer, URLs: []string{"https://example.com/layer"}})
	if err != nil {
		t.Fatal(err)
	}
	push(t, reference(t, s.Addr, "windows:one"), img)
}

func TestAddressIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := inBackground(t, dir, "1h")
	first := ensure(t, o)
	ref := reference(t, first.Addr, "shop/web:one")
	digest := pushed(t, dir, ref, image(t, 1000))
	for _, end := range []func() error{
		func() error { return o.Process().Stop(t.Context()) },
		func() error { p, err := os.FindProcess(first.PID); return errors.Join(err, p.Kill()) },
	} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		for alive := true; alive; {
			s, err := o.Process().Status()
			if err != nil {
				t.Fatal(err)
			}
			alive = s.State != background.Absent
		}
		again := ensure(t, o)
		if again.Addr != first.Addr {
			t.Errorf("address was %s and is %s", first.Addr, again.Addr)
		}
		if desc, err := remote.Head(ref); err != nil || desc.Digest != digest {
			t.Errorf("Head = %v, %v; want %v", desc, err, digest)
		}
		first = again
	}
}

func TestAddressIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := inBackground(t, dir, "1h")
	a := ensure(t, o)
	if err := o.Process().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", a.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = Ensure(t.Context(), o)
	want := fmt.Sprintf("background registry: the address of the embedded registry, %s, is in use by serve.test (process %d). "+
		"Releases name their images by this address: end what uses it, or use another registry; to give the registry a new address, "+
		"remove %s, and the next run deploys all services again (its log is %s)",
		a.Addr, os.Getpid(), filepath.Join(dir, "address"), filepath.Join(dir, "registry.log"))
	if err == nil || err.Error() != want {
		t.Errorf("Ensure = %v\nwant %s", err, want)
	}
	if err := os.Remove(filepath.Join(dir, "address")); err != nil {
		t.Fatal(err)
	}
	if b := ensure(t, o); b.Addr == a.Addr {
		t.Errorf("after the file was removed the address is still %s", b.Addr)
	}
}

// If the address is damaged, the earlier process's address is used if it is known; otherwise
// a new one is chosen.
func TestAddressIsDamaged(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		damage string
		end    func(*testing.T, Options, int)
		same   bool
	}{
		{"empty, after a crash", "", killProcess, true},
		{"garbage, after a crash", "\x00\x00garbage", killProcess, true},
		{"empty, after its end", "", stopProcess, false},
		{"half, after its end", "127.0.0.1:", stopProcess, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := inBackground(t, dir, "1h")
			first := ensure(t, o)
			row.end(t, o, first.PID)
			path := filepath.Join(dir, "address")
			if err := os.WriteFile(path, []byte(row.damage), 0o600); err != nil {
				t.Fatal(err)
			}
			second := ensure(t, o)
			want := path + " was damaged, as by a full disk or a power cut, and is written again"
			if !row.same {
				want = path + " was damaged, as by a full disk or a power cut: the registry has a new address, and services are deployed again"
			}
			if len(second.Notes) != 1 || second.Notes[0] != want {
				t.Errorf("notes = %q\nwant %q", second.Notes, want)
			}
			if row.same != (first.Addr == second.Addr) {
				t.Errorf("address was %s and is %s", first.Addr, second.Addr)
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != second.Addr+"\n" {
				t.Errorf("the file has %q, %v; want %s", data, err, second.Addr)
			}
		})
	}
}

func stopProcess(t *testing.T, o Options, _ int) {
	t.Helper()
	if err := o.Process().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func killProcess(t *testing.T, o Options, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err := errors.Join(err, p.Kill()); err != nil {
		t.Fatal(err)
	}
	for alive := true; alive; {
		s, err := o.Process().Status()
		if err != nil {
			t.Fatal(err)
		}
		alive = s.State != background.Absent
	}
}

func TestAddressMustBeLoopback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "example.com:80"} {
		if _, err := Start(t.Context(), Options{Dir: dir, Addr: addr}); err == nil || !strings.HasSuffix(err.Error(), " is not loopback") {
			t.Errorf("Start at %s = %v, want that it is not loopback", addr, err)
		}
	}
}

func TestWebPagesAreRefused(t *testing.T) {
	t.Parallel()
	s := inProcess(t, t.TempDir())
	for _, row := range []struct {
		name, method, host, origin string
		want                       int
	}{
		{"a client", http.MethodPost, s.Addr, "", http.StatusAccepted},
		{"by name", http.MethodPost, "localhost:1234", "", http.StatusAccepted},
		{"a name that resolves to it", http.MethodGet, "evil.example:80", "", http.StatusForbidden},
		{"a form of another site", http.MethodPost, s.Addr, "https://evil.example", http.StatusForbidden},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), row.method, "http://"+s.Addr+"/v2/a/blobs/uploads/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = row.host
			if row.origin != "" {
				r.Header.Set("Origin", row.origin)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != row.want {
				t.Errorf("status %d, want %d", answer.StatusCode, row.want)
			}
		})
	}
}

func TestEndsIdleAndNotInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := inBackground(t, dir, "100ms")
	a := ensure(t, o)
	password, err := Password(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A running upload counts as a use, although its client is not attached.
	reader, writer := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		for range 20 {
			if _, err := writer.Write(make([]byte, 1<<20)); err != nil {
				sent <- err
				return
			}
			a.Release() // the server is reading
			time.Sleep(20 * time.Millisecond)
		}
		sent <- writer.Close()
	}()
	err = streamed(t, as{password}, reference(t, a.Addr, "slow:one"), reader)
	reader.Close()
	if err := errors.Join(<-sent, err); err != nil {
		t.Errorf("slow upload: %v", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if s, err := o.Process().Status(); err == nil && s.State == background.Absent {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it did not end")
		}
	}
}

// streamed uploads the content of body as a blob, in one request.
func streamed(t *testing.T, with http.RoundTripper, ref name.Reference, body io.Reader) error {
	t.Helper()
	client := &http.Client{Transport: with}
	answer, err := client.Post("http://"+ref.Context().RegistryStr()+"/v2/"+ref.Context().RepositoryStr()+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	answer.Body.Close()
	to, err := answer.Location()
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, to.String(), body)
	if err != nil {
		return err
	}
	if answer, err = client.Do(r); err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("status %s", answer.Status)
	}
	return nil
}

func TestOldUploadsAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := inProcess(t, dir)
	if err := streamed(t, http.DefaultTransport, reference(t, s.Addr, "old:one"), bytes.NewReader(make([]byte, 1000))); err != nil {
		t.Fatal(err)
	}
	glob := filepath.Join(dir, "images/docker/registry/v2/repositories/old/_uploads/*/startedat")
	uploads, err := filepath.Glob(glob)
	if err != nil || len(uploads) != 1 {
		t.Fatalf("uploads = %v, %v; want one", uploads, err)
	}
	s.purge(t.Context())
	if _, err := os.Stat(uploads[0]); err != nil {
		t.Errorf("a new upload is gone: %v", err)
	}
	yesterday := time.Now().Add(-25 * time.Hour).UTC().Format(time.RFC3339)
	if err := os.WriteFile(uploads[0], []byte(yesterday), 0o600); err != nil {
		t.Fatal(err)
	}
	s.purge(t.Context())
	if left, err := filepath.Glob(glob); err != nil || len(left) != 0 {
		t.Errorf("uploads = %v, %v; want none", left, err)
	}
}

func TestBadFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"images": `registry: directory "images" is not absolute`,
		file:     "registry: open " + file + "/address: not a directory",
	} {
		if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || err.Error() != want {
			t.Errorf("Start in %s = %v, want %s", dir, err, want)
		}
	}
}
