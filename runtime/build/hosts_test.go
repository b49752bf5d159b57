package build_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pipelinefile/pipe/runtime/build/daemon"
	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/runtimetest"
)

// kills is how many processes TestHostKills kills; "make kills" kills more.
var kills = flag.Int("kills", 4, "how many processes TestHostKills kills")

// A network is a bridge in the network namespace of the test, where the registry is, and hosts
// with network namespaces of their own.
type network struct {
	gateway string // the address of the test
	hosts   []*host
}

// A host has a network namespace, a BuildKit and a directory of state.
type host struct {
	namespace, addr, home string
}

// newNetwork makes a network of two hosts.
func newNetwork(t testing.TB) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		unavailable(t, "buildkit", errors.New("only root can make network namespaces"))
	}
	id := os.Getpid()
	// A part of the network that is reserved for tests of devices.
	subnet := fmt.Sprintf("198.%d.%d.", 18+id>>8&1, id&0xff)
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			unavailable(t, "buildkit", fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out))
		}
	}
	bridge := fmt.Sprintf("pt%d", id)
	ip("link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { ip("link", "del", bridge) })
	n := &network{gateway: subnet + "1"}
	ip("addr", "add", n.gateway+"/24", "dev", bridge)
	ip("link", "set", bridge, "up")
	for i := range 2 {
		h := &host{namespace: fmt.Sprintf("%s-%d", bridge, i), addr: fmt.Sprintf("%s%d", subnet, i+2), home: t.TempDir()}
		ip("netns", "add", h.namespace)
		t.Cleanup(func() { ip("netns", "del", h.namespace) })
		link := fmt.Sprintf("%s%c", bridge, 'a'+i)
		ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", h.namespace)
		ip("link", "set", link, "master", bridge, "up")
		ip("-n", h.namespace, "addr", "add", h.addr+"/24", "dev", "eth0")
		ip("-n", h.namespace, "link", "set", "eth0", "up")
		ip("-n", h.namespace, "link", "set", "lo", "up")
		t.Cleanup(func() {
			if err := h.buildkit().Process().Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		n.hosts = append(n.hosts, h)
	}
	return n
}

func (h *host) buildkit() daemon.Background {
	return daemon.Background{Home: h.home, Idle: time.Minute}
}

// start starts a process on the host that builds the source web; out is what it prints.
func (h *host) start(t *testing.T, dir, registry string) (cmd *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	// "ip netns exec" would hide the cgroups, which are mounted below /sys.
	cmd, out = childRun{Home: h.home, Dir: dir, Registry: registry, Shared: true, Builds: []string{"web"}, By: h.namespace}.command(t, "nsenter", "--net=/run/netns/"+h.namespace)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// A killingRegistry is the registry of one round, at which the process of a host can be killed.
type killingRegistry struct {
	addr string
	real http.Handler

	mu     sync.Mutex
	passed map[string][]string // requests by host
	claims chan struct{}       // closed at the first claim
	victim string              // the address of the host
	at     int                 // the number of its request; -1: none
	after  bool
	kill   func()
}

// newKillingRegistry serves a registry at the gateway.
func (n *network) newKillingRegistry(t testing.TB, real http.Handler) *killingRegistry {
	t.Helper()
	l, err := net.Listen("tcp", n.gateway+":0")
	if err != nil {
		t.Fatal(err)
	}
	c := &killingRegistry{addr: l.Addr().String(), real: real, passed: map[string][]string{}, claims: make(chan struct{}), at: -1}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: c, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}}
	server.Start()
	t.Cleanup(server.Close)
	return c
}

// ServeHTTP implements [http.Handler].
func (c *killingRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	c.mu.Lock()
	here := from == c.victim && len(c.passed[from]) == c.at
	c.passed[from] = append(c.passed[from], r.Method+" "+r.URL.Path)
	after, kill := c.after, c.kill
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".claim") {
		select {
		case <-c.claims:
		default:
			close(c.claims)
		}
	}
	c.mu.Unlock()
	switch {
	case !here:
		c.real.ServeHTTP(w, r)
		return
	case after:
		c.real.ServeHTTP(httptest.NewRecorder(), r)
	}
	kill()
	panic(http.ErrAbortHandler)
}

// TestHostKills has two hosts build the same image for one registry. The process of one is
// killed, with SIGKILL, at its requests to the registry, before and after the registry has carried
// them out: the other one waits for it, builds the image if it has to, and the image is complete
// and built once (I2).
func TestHostKills(t *testing.T) {
	n := newNetwork(t)
	real := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	dir := func(t *testing.T) string {
		return workspace(t, files{"web/Dockerfile": shell + "COPY x /\nRUN echo built; sleep 1\n", "web/busybox": "", "web/x": runtimetest.Unique("x")})
	}
	// An undisturbed run shows which requests a run sends.
	var undisturbed []string
	for i, h := range n.hosts {
		c := n.newKillingRegistry(t, real)
		cmd, out := h.start(t, dir(t), c.addr+"/"+runtimetest.Unique("undisturbed"))
		if err := cmd.Wait(); err != nil {
			t.Fatalf("the undisturbed run: %v\n%s", err, out)
		}
		if i == 0 {
			c.mu.Lock()
			undisturbed = c.passed[h.addr]
			c.mu.Unlock()
		}
	}
	rounds := min(*kills, 2*len(undisturbed))
	slots := make(chan struct{}, 4)
	var killed sync.Map
	var wait sync.WaitGroup
	for round := range rounds {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			at := round * len(undisturbed) / rounds
			if n.round(t, real, dir(t), at, round%2 == 1, round%4 < 2) {
				killed.Store(round, undisturbed[at])
			}
		})
	}
	wait.Wait()
	count := 0
	killed.Range(func(_, at any) bool { count++; t.Log("killed at", at); return true })
	t.Logf("%d of %d processes were killed, at %d requests", count, rounds, len(undisturbed))
	if count < rounds/2 {
		t.Errorf("%d processes were killed, want most of %d", count, rounds)
	}
}

// round is one round of TestHostKills. together starts the other host when the victim claims the
// build, and otherwise when the victim is dead.
func (n *network) round(t *testing.T, real http.Handler, dir string, at int, after, together bool) (killed bool) {
	prefix := "/" + runtimetest.Unique("round")
	what := fmt.Sprintf("a kill at request %d, after it %v, together %v", at, after, together)
	c := n.newKillingRegistry(t, real)
	victim, other := n.hosts[0], n.hosts[1]
	started, dead := make(chan *exec.Cmd, 1), make(chan struct{})
	var died atomic.Bool
	c.mu.Lock()
	c.victim, c.at, c.after = victim.addr, at, after
	c.kill = sync.OnceFunc(func() {
		cmd := <-started
		switch err := cmd.Process.Kill(); {
		case err == nil:
			died.Store(true)
		case !errors.Is(err, os.ErrProcessDone): // its BuildKit may have gone on
			t.Error(err)
		}
		<-dead
	})
	c.mu.Unlock()
	first, out := victim.start(t, dir, c.addr+prefix)
	started <- first
	go func() {
		_ = first.Wait()
		close(dead)
	}()
	if together {
		select {
		case <-c.claims:
		case <-dead:
		}
	} else {
		<-dead
	}
	second, said := other.start(t, dir, c.addr+prefix)
	<-dead
	err := second.Wait()
	c.mu.Lock()
	c.at = -1
	c.mu.Unlock()
	killed = died.Load()
	if err != nil {
		t.Errorf("after %s: the other host: %v\n%s", what, err, said)
		return killed
	}
	if !killed && !strings.Contains(out.String(), "\nimage ") {
		t.Errorf("%s: it was not killed:\n%s", what, out)
	}
	// Once more, on the first host: nothing is built again.
	third, again := victim.start(t, dir, c.addr+prefix)
	if err := third.Wait(); err != nil {
		t.Errorf("after %s: once more: %v\n%s", what, err, again)
		return killed
	}
	image := imageOf(said.String())
	if image == "" || imageOf(again.String()) != image {
		t.Errorf("after %s: the images are %q and %q, want the same", what, image, imageOf(again.String()))
		return killed
	}
	if builds(again.String()) > 0 {
		t.Errorf("after %s: once more has built:\n%s", what, again)
	}
	if !killed && builds(out.String())+builds(said.String()) != 1 {
		t.Errorf("%s: it was not killed, and both have built:\n%s\n%s", what, out, said)
	}
	ref, err := name.NewDigest(image, name.Insecure)
	if err == nil {
		err = testenv.Whole(ref)
	}
	if err != nil {
		t.Errorf("after %s: %v", what, err)
		return killed
	}
	tags, err := remote.List(ref.Context())
	tags = slices.DeleteFunc(tags, func(tag string) bool { return strings.Contains(tag, ".") })
	if err != nil || len(tags) != 1 {
		t.Errorf("after %s: the tags are %q, %v; want one", what, tags, err)
	}
	return killed
}

// imageOf returns the image that a process has printed.
func imageOf(out string) string {
	for line := range strings.Lines(out) {
		if image, ok := strings.CutPrefix(line, "image "); ok {
			return strings.TrimSpace(image)
		}
	}
	return ""
}

// builds returns how often a process has run the command of the Dockerfile.
func builds(out string) int { return strings.Count(out, "Text:built") }
