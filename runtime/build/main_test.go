package build_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	_ "github.com/pipelinefile/pipe/internal/ballast" // as in the pipe command
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
	"github.com/pipelinefile/pipe/runtime/build/daemon"
)

// home is the state directory of the BuildKit that the tests of this process share.
var home string

func TestMain(m *testing.M) {
	// The test binary also acts as the pipe command: it starts itself as BuildKit.
	if len(os.Args) > 2 && os.Args[1] == "daemon" && os.Args[2] == "buildkit" {
		if err := daemon.Main(context.Background(), os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "child-run" {
		var d childRun
		err := json.Unmarshal([]byte(os.Args[2]), &d)
		if err == nil {
			err = d.do(context.Background(), os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "dial-stdio" {
		os.Exit(dialStdio(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "write-image" {
		if err := writeImage(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(run(m))
}

// dialStdio connects standard input and output with a socket.
func dialStdio(socket string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.Close()
	}()
	io.Copy(os.Stdout, conn)
	return 0
}

func run(m *testing.M) int {
	var err error
	if home, err = os.MkdirTemp("", "pipe-build-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(home)
	code := m.Run()
	if err := shared().Process().Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func shared() daemon.Background { return daemon.Background{Home: home, Idle: time.Minute} }

// buildkit returns the address of a real BuildKit. If it cannot run and is not required, the
// test is skipped.
func buildkit(t testing.TB) string {
	t.Helper()
	a, err := shared().Ensure(t.Context())
	if err != nil {
		unavailable(t, "buildkit", err)
	}
	t.Cleanup(a.Release)
	return a.Addr
}

// unavailable skips the test, or fails it if PIPE_TEST_REQUIRE includes the server.
func unavailable(t testing.TB, server string, err error) {
	t.Helper()
	for _, s := range strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ",") {
		if s == server {
			t.Fatalf("%s is required and cannot be used: %v", server, err)
		}
	}
	t.Skipf("%s cannot be used: %v", server, err)
}

var busyboxFile = sync.OnceValues(func() ([]byte, error) {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		if data, err := os.ReadFile(path); err == nil {
			return data, nil
		}
	}
	return nil, fmt.Errorf("there is no busybox: install the package busybox-static")
})

// shell is the beginning of a Dockerfile for an image with a shell and without a base image.
// Its context needs the file busybox.
const shell = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
`

// files are the files of a directory, by path. A name that ends in * is executable; a content
// "-> x" makes a symbolic link.
type files map[string]string

// write writes the files below dir. The file busybox is the real program.
func (f files) write(t testing.TB, dir string) {
	t.Helper()
	for name, content := range f {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			name, mode = strings.TrimSuffix(name, "*"), 0o755
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(to, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data := []byte(content)
		if filepath.Base(name) == "busybox" {
			var err error
			if data, err = busyboxFile(); err != nil {
				unavailable(t, "buildkit", err)
			}
			mode = 0o755
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // independent of the umask
			t.Fatal(err)
		}
	}
}

// workspace returns a directory with the files.
func workspace(t testing.TB, f files) string {
	t.Helper()
	dir := t.TempDir()
	f.write(t, dir)
	return dir
}

// spec is a build of the directory source of the workspace.
func spec(source string) plan.BuildSpec {
	return plan.BuildSpec{
		ID: "web", Source: plan.Source{Path: source}, Context: ".", Dockerfile: "Dockerfile",
		Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 1},
	}
}

// images starts a registry and returns its address.
func images(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(imagesHandler())
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// imagesHandler returns a registry in memory.
func imagesHandler() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

// head returns the digest of the image at ref.
func head(t testing.TB, ref string) plan.Digest {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(r)
	if err != nil {
		t.Fatalf("look for %s: %v", ref, err)
	}
	return plan.Digest(d.Digest.String())
}

// newBuilder returns a builder for the workspace that uses the real BuildKit.
func newBuilder(t testing.TB, dir string) *build.Builder {
	t.Helper()
	b := build.New(build.Options{Dir: dir, Addresses: []string{buildkit(t)}, CacheDir: t.TempDir()})
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A record collects events.
type record struct {
	mu     sync.Mutex
	events []runtime.Body
}

func (r *record) emit(b runtime.Body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, b)
}

// text returns all events as text, for searching.
func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.events {
		fmt.Fprintf(&b, "%s %+v\n", e.Kind(), e)
	}
	return b.String()
}
