//go:build !windows

package build_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// signal sends a signal to it.
func (w *worker) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(w.pid, s); err != nil {
		t.Errorf("%v to BuildKit: %v", s, err)
	}
}

// TestBuilderLost ends a builder in the middle of a build: the other one builds, and nothing
// else happens.
func TestBuilderLost(t *testing.T) {
	for _, test := range []struct {
		name   string
		signal syscall.Signal
		push   bool // while it pushes; otherwise in a command
		sleep  int  // how long the command takes, in seconds
	}{
		{"killed", syscall.SIGKILL, false, 1},
		{"killed while it pushes", syscall.SIGKILL, true, 0},
		{"drained", syscall.SIGTERM, false, 4}, // longer than builds may take to end
		{"silent", syscall.SIGSTOP, false, 12}, // longer than it may be silent
	} {
		t.Run(test.name, func(t *testing.T) {
			workers := []*worker{startWorker(t), startWorker(t)}
			var r record
			var failed *worker
			end := sync.OnceFunc(func() {
				failed = builtOn(t, &r, workers)
				failed.signal(t, test.signal)
			})
			var mu sync.Mutex
			var written []string // manifests
			inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
					mu.Lock()
					written = append(written, r.URL.Path)
					mu.Unlock()
				}
				if test.push && r.Method == http.MethodPost {
					end()
				}
				inner.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			dir := workspace(t, files{
				"web/Dockerfile": whereami + fmt.Sprintf("RUN echo started; sleep %d\n", test.sleep), "web/busybox": "", "web/x": "",
				"a/Dockerfile": whereami, "a/busybox": "", "b/Dockerfile": whereami, "b/busybox": "", "c/Dockerfile": whereami, "c/busybox": "",
			})
			b := build.New(build.Options{Dir: dir, Addresses: []string{workers[0].addr, workers[1].addr}})
			b.SetPatience(8 * time.Second)
			t.Cleanup(func() { b.Close() })
			emit := r.emit
			if !test.push {
				emit = onStarted(&r, end)
			}
			digest, err := b.Build(t.Context(), onPlatform("web"), host+"/web:1", emit)
			if err != nil || head(t, host+"/web:1") != digest {
				t.Fatalf("Build = %s, %v\n%s", digest, err, r.text())
			}
			other := workers[0]
			if failed == other {
				other = workers[1]
			}
			retried := r.retried()
			if len(retried) != 1 || retried[0].From != failed.addr || retried[0].To != other.addr || !strings.Contains(retried[0].Error, "was lost during the build: ") {
				t.Errorf("the build is retried with %+v, want once, from %s to %s", retried, failed.addr, other.addr)
			}
			if want := []string{"/v2/web/manifests/1"}; !cmp.Equal(written, want) {
				t.Errorf("the manifests written are %q, want %q", written, want)
			}

			// The builder that has failed gets no more builds. Once it works again, it gets those
			// whose cache it has.
			where := func(source string, x int) *worker {
				files{source + "/Dockerfile": whereami, source + "/x": fmt.Sprint(x)}.write(t, dir)
				_, r := mustBuild(t, b, onPlatform(source), host+"/web:2")
				return builtOn(t, r, workers)
			}
			for i, source := range []string{"a", "b", "c", "web"} {
				if got := where(source, i); got != other {
					t.Errorf("the image %s is built on the builder that has failed", source)
				}
			}
			if test.signal == syscall.SIGSTOP {
				failed.signal(t, syscall.SIGCONT)
			}
			failed.start(t)
			x := 10
			eventually(t, "the builder is not used", func() string {
				if x++; where("web", x) != failed {
					return "the build is not on " + failed.addr
				}
				return ""
			})
		})
	}
}

// TestBuilderReplaced kills a builder in the middle of a build and starts it again at once, as a
// cluster or systemd does: the build was lost although its address answers.
func TestBuilderReplaced(t *testing.T) {
	workers := []*worker{startWorker(t), startWorker(t)}
	host := images(t)
	dir := workspace(t, files{"web/Dockerfile": whereami + "RUN echo started; sleep 1\n", "web/busybox": "", "web/x": ""})
	var down sync.RWMutex // locked while a builder is not there
	addrs := []string{relay(t, workers[0].addr, &down), relay(t, workers[1].addr, &down)}
	b := build.New(build.Options{Dir: dir, Addresses: addrs})
	t.Cleanup(func() { b.Close() })
	var r record
	failed := -1
	end := func() {
		failed = slices.Index(workers, builtOn(t, &r, workers))
		down.Lock()
		defer down.Unlock()
		workers[failed].signal(t, syscall.SIGKILL)
		eventually(t, "the builder still runs", func() string {
			if c, err := net.Dial("unix", strings.TrimPrefix(workers[failed].addr, "unix://")); err == nil {
				c.Close()
				return "it accepts connections"
			}
			return ""
		})
		workers[failed].start(t)
	}
	if _, err := b.Build(t.Context(), onPlatform("web"), host+"/web:1", onStarted(&r, end)); err != nil {
		t.Fatalf("Build: %v\n%s", err, r.text())
	}
	retried := r.retried()
	if len(retried) != 1 || !strings.HasPrefix(retried[0].Error, "BuildKit at "+addrs[failed]+" was lost during the build: ") || retried[0].To != addrs[1-failed] {
		t.Errorf("the build is retried with %+v, want once, from %s to the other one", retried, addrs[failed])
	}
}

// relay returns an address that forwards to the socket at addr. While down is locked, connections
// are accepted, but wait.
func relay(t testing.TB, addr string, down *sync.RWMutex) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(in net.Conn) {
		defer in.Close()
		down.RLock()
		out, err := net.Dial("unix", strings.TrimPrefix(addr, "unix://"))
		down.RUnlock()
		if err != nil {
			return
		}
		defer out.Close()
		go func() { _, _ = io.Copy(out, in) }() // out is closed when the builder has ended
		_, _ = io.Copy(in, out)
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go serve(in)
		}
	}()
	return "tcp://" + l.Addr().String()
}

// TestBuilderOfCache checks that builds of changed sources are on the builders that have their
// caches, whatever the order of the addresses.
func TestBuilderOfCache(t *testing.T) {
	workers := []*worker{startWorker(t), startWorker(t)}
	host := images(t)
	f := files{}
	for i := range 6 {
		f[fmt.Sprintf("%d/Dockerfile", i)] = strings.Replace(whereami, "COPY x", fmt.Sprintf("RUN echo %d\nCOPY x", i), 1)
		f[fmt.Sprintf("%d/busybox", i)] = ""
	}
	dir := workspace(t, f)
	built := func(addrs []string, x string) (on []*worker, cached []bool) {
		b := build.New(build.Options{Dir: dir, Addresses: addrs})
		t.Cleanup(func() { b.Close() })
		for i := range 6 {
			source := strconv.Itoa(i)
			files{source + "/x": source + x}.write(t, dir)
			_, r := mustBuild(t, b, onPlatform(source), host+"/web:1")
			on = append(on, builtOn(t, r, workers))
			hit := false
			for _, e := range r.events {
				if s, ok := e.(runtime.BuildStep); ok && s.Cached && strings.Contains(s.Name, "RUN echo "+source) {
					hit = true
				}
			}
			cached = append(cached, hit)
		}
		return on, cached
	}
	before, _ := built([]string{workers[0].addr, workers[1].addr}, "1")
	after, cached := built([]string{workers[1].addr, workers[0].addr}, "2")
	for i := range before {
		if before[i] != after[i] || !cached[i] {
			t.Errorf("image %d is built on %s, cached: %v, want on %s, cached", i, after[i].addr, cached[i], before[i].addr)
		}
	}
}

// TestBuilderRefuses builds with a builder that accepts no builds: one build asks it, and the
// others do not, until it is asked again.
func TestBuilderRefuses(t *testing.T) {
	var full refusing
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, &full)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(server.Stop)
	addr, host := "tcp://"+l.Addr().String(), images(t)
	f := files{}
	for i := range 20 {
		f[fmt.Sprintf("%d/Dockerfile", i)] = "FROM scratch\nCOPY . /\n"
	}
	b := build.New(build.Options{Dir: workspace(t, f), Addresses: []string{addr, buildkit(t)}})
	t.Cleanup(func() { b.Close() })
	var retried []runtime.Retried
	for i := range 20 {
		_, r := mustBuild(t, b, onPlatform(strconv.Itoa(i)), host+"/web:1")
		retried = append(retried, r.retried()...)
	}
	if len(retried) == 0 || retried[0].From != addr || retried[0].To != buildkit(t) || !strings.Contains(retried[0].Error, "no more builds here") {
		t.Errorf("the builds are retried with %+v, want from %s", retried, addr)
	}
	// It is asked again after 2, 4, 8 … seconds. A build may end with its session, before it is
	// asked for.
	if n := int(full.asked.Load()); n > len(retried) || len(retried) > 6 {
		t.Errorf("it was asked for %d builds, and %d were retried", n, len(retried))
	}
}
