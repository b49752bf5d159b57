package reach_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pipelinefile/pipe/runtime/reach"
)

// waitTime is the timeout for events that are expected soon.
const waitTime = time.Minute

// A watcher records the states of forwards.
type watcher struct {
	t    *testing.T
	mu   sync.Mutex
	all  []reach.Forward
	told chan struct{} // of size 1
}

func newWatcher(t *testing.T) *watcher { return &watcher{t: t, told: make(chan struct{}, 1)} }

func (w *watcher) report(f reach.Forward) {
	w.mu.Lock()
	w.all = append(w.all, f)
	w.mu.Unlock()
	select {
	case w.told <- struct{}{}:
	default:
	}
}

// last returns the newest state of a service's forward.
func (w *watcher) last(service string) (reach.Forward, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range slices.Backward(w.all) {
		if f.Service == service {
			return f, true
		}
	}
	return reach.Forward{}, false
}

// until waits until a service is in a state, and with a pod if one is given.
func (w *watcher) until(service string, state reach.ForwardState, pod string) reach.Forward {
	w.t.Helper()
	timeout := time.After(waitTime)
	for {
		f, ok := w.last(service)
		if ok && f.State == state && (pod == "" || f.Pod == pod) {
			return f
		}
		select {
		case <-w.told:
		case <-timeout:
			w.t.Fatalf("%s is %s (pod %q, error %v), want %s %s", service, f.State, f.Pod, f.Err, state, pod)
		}
	}
}

// forwarder forwards port 8080 of services.
func forwarder(t *testing.T, ns *reach.Namespace, services ...string) (*reach.Forwarder, *watcher, []reach.Forward) {
	t.Helper()
	w := newWatcher(t)
	f := ns.Forwarder(reach.ForwardOptions{Report: w.report})
	t.Cleanup(f.Close)
	forwards, err := f.Set(targets(t, services...))
	must(t, err)
	return f, w, forwards
}

// targets returns free local ports for port 8080 of services.
func targets(t *testing.T, services ...string) []reach.Target {
	t.Helper()
	var all []reach.Target
	for _, s := range services {
		all = append(all, reach.Target{Service: s, Port: 8080, Local: freePort(t)})
	}
	return all
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func dial(t *testing.T, f reach.Forward) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", f.Address.String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(waitTime)))
	return c.(*net.TCPConn)
}

// says sends a line and returns the answer.
func says(t *testing.T, c net.Conn, line string) string {
	t.Helper()
	if _, err := fmt.Fprintln(c, line); err != nil {
		t.Fatal(err)
	}
	return hears(t, c)
}

func hears(t *testing.T, c net.Conn) string {
	t.Helper()
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return strings.TrimSpace(answer)
}

func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// isReset checks that a connection ends with an error, and not with EOF.
func isReset(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.ReadAll(c)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ends with %v, want a reset", err)
	}
}

// resets checks that a new connection ends with an error.
func resets(t *testing.T, f reach.Forward) {
	t.Helper()
	c, err := net.Dial("tcp", f.Address.String())
	if errors.Is(err, syscall.ECONNRESET) {
		return // it was reset immediately
	}
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(waitTime)))
	isReset(t, c)
}

// TestForward: each local connection is forwarded to a pod, and a link to the pod carries one
// connection after another.
func TestForward(t *testing.T) {
	t.Parallel()
	for _, spdy := range []bool{false, true} {
		t.Run(fmt.Sprintf("spdy=%v", spdy), func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.set(func(n *node) { n.spdyOnly = spdy })
			n.serves("web", "web-1")
			_, w, forwards := forwarder(t, n.reach(), "web")
			w.until("web", reach.Listening, "web-1")
			var conns []*net.TCPConn
			for i := range 5 {
				c := dial(t, forwards[0])
				conns = append(conns, c)
				check(t, "the answer", says(t, c, fmt.Sprint("hello ", i)), fmt.Sprint("web-1: hello ", i))
			}
			w.until("web", reach.Connected, "web-1")
			for i, c := range conns {
				check(t, "the second answer", says(t, c, fmt.Sprint("bye ", i)), fmt.Sprint("web-1: bye ", i))
				ends(t, c)
			}
			w.until("web", reach.Listening, "web-1")
			linked := n.linked("web-1")
			for i := range 5 {
				c := dial(t, forwards[0])
				check(t, "the answer", says(t, c, fmt.Sprint(i)), fmt.Sprint("web-1: ", i))
				ends(t, c)
			}
			check(t, "the number of connections", n.linked("web-1"), linked)
		})
	}
}

// ends closes a connection, and waits until the pod has closed it too.
func ends(t *testing.T, c *net.TCPConn) {
	t.Helper()
	must(t, c.CloseWrite())
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("the connection ends with %q, %v", rest, err)
	}
}

// TestForwardHolds: a connection is held while there is no ready pod, or while the pod is
// replaced; the port stays open.
func TestForwardHolds(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	_, w, forwards := forwarder(t, n.reach(), "web")
	f := w.until("web", reach.Waiting, "")
	check(t, "the reason", f.Err.Error(), "web has no pod")
	early := dial(t, forwards[0])
	fmt.Fprintln(early, "am I early?")
	n.pod("web", "web-1")
	n.listens("web-1", answers("web-1"))
	n.is("web-1", true)
	check(t, "the answer", hears(t, early), "web-1: am I early?")

	n.terminate("web-1")
	f = w.until("web", reach.Waiting, "")
	check(t, "the reason", f.Err.Error(), "no pod of web is ready: web-1 (terminating)")
	check(t, "the answer of a pod that terminates", says(t, early, "still there?"), "web-1: still there?")
	held := dial(t, forwards[0])
	fmt.Fprintln(held, "which one?")
	n.serves("web", "web-2")
	check(t, "the answer", hears(t, held), "web-2: which one?")
	n.gone("web-1")
	w.until("web", reach.Connected, "web-2")
	f, _ = w.last("web")
	check(t, "the address", f.Address, forwards[0].Address)
}

// TestForwardGivesUp: a connection that is held for too long ends with an error, and the port
// stays open.
func TestForwardGivesUp(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ns := n.reach()
	ns.SetTimes(time.Hour, time.Hour, time.Second)
	n.pod("web", "web-1")
	_, w, forwards := forwarder(t, ns, "web")
	c := dial(t, forwards[0])
	isReset(t, c)
	f := w.until("web", reach.Waiting, "")
	var none *reach.NoPodError
	if !errors.As(f.Err, &none) || none.Service != "web" || len(none.Pods) != 1 || none.Pods[0].State != "not ready" {
		t.Errorf("the reason is %#v", f.Err)
	}
	n.listens("web-1", answers("web-1"))
	n.is("web-1", true)
	check(t, "the answer", says(t, dial(t, forwards[0]), "and now?"), "web-1: and now?")
}

// TestForwardByPort: a ready pod of another kind of the same service, which does not have the
// port, gets no connection.
func TestForwardByPort(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("web", "web-b")
	n.other("web", "web-a")
	_, w, forwards := forwarder(t, n.reach(), "web")
	w.until("web", reach.Listening, "web-b")
	check(t, "the answer", says(t, dial(t, forwards[0]), "1"), "web-b: 1")
	n.is("web-b", false)
	f := w.until("web", reach.Waiting, "")
	check(t, "the reason", f.Err.Error(), "no pod of web is ready: web-b (not ready)")
}

// TestForwardRefused: data that a client has sent to a port on which nothing listens yet is
// sent again when something does. If nothing ever listens, the client gets an error.
func TestForwardRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ns := n.reach()
	ns.SetTimes(time.Second, waitTime, waitTime)
	n.pod("web", "web-1")
	n.is("web-1", true)
	_, _, forwards := forwarder(t, ns, "web")
	c := dial(t, forwards[0])
	fmt.Fprintln(c, "is it on?")
	must(t, c.CloseWrite())
	<-n.refused
	n.listens("web-1", answers("web-1"))
	check(t, "the answer", hears(t, c), "web-1: is it on?")

	n.set(func(n *node) { n.ports = map[string]string{} })
	ns = n.reach()
	ns.SetTimes(time.Second, waitTime, 15*time.Second)
	_, w, forwards := forwarder(t, ns, "web")
	resets(t, forwards[0])
	f := w.until("web", reach.Failed, "web-1")
	check(t, "the reason", f.Err.Error(), "nothing listens on port 8080 in pod web-1")
	n.listens("web-1", answers("web-1"))
	check(t, "the answer", says(t, dial(t, forwards[0]), "again"), "web-1: again")
	w.until("web", reach.Connected, "web-1")
}

// TestForwardHalves: each side may close its direction before the other.
func TestForwardHalves(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("sum", "sum-1")
	n.listens("sum-1", func(c net.Conn) {
		data, _ := io.ReadAll(c)
		fmt.Fprintf(c, "%d bytes\n", len(data))
	})
	_, w, forwards := forwarder(t, n.reach(), "sum")
	w.until("sum", reach.Listening, "")
	c := dial(t, forwards[0])
	const size = 1 << 20 // more than is kept for another attempt
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	must(t, c.CloseWrite())
	answer, err := io.ReadAll(c)
	check(t, "the answer", string(answer), fmt.Sprintln(size, "bytes"))
	check(t, "the error", err, nil)
}

// TestForwardBesideSlow: a client that does not read its data does not block other clients.
func TestForwardBesideSlow(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("web", "web-1")
	n.listens("web-1", func(c net.Conn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		if line == "flood\n" {
			for {
				if _, err := c.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}
		fmt.Fprint(c, "web-1: ", line)
	})
	_, w, forwards := forwarder(t, n.reach(), "web")
	w.until("web", reach.Listening, "")
	slow := dial(t, forwards[0])
	fmt.Fprintln(slow, "flood")
	w.until("web", reach.Connected, "")
	for i := range 10 {
		check(t, "the answer", says(t, dial(t, forwards[0]), fmt.Sprint(i)), fmt.Sprint("web-1: ", i))
	}
}

// TestForwardOverLoss: when the connection to the API server is lost, connections end, and
// new ones are held until it is restored.
func TestForwardOverLoss(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("web", "web-1")
	_, w, forwards := forwarder(t, n.reach(), "web")
	w.until("web", reach.Listening, "")
	c := dial(t, forwards[0])
	check(t, "the answer", says(t, c, "1"), "web-1: 1")
	n.breakWay()
	isReset(t, c)
	f := w.until("web", reach.Waiting, "")
	if f.Err == nil || errors.As(f.Err, new(*reach.NoPodError)) {
		t.Errorf("the reason is %v", f.Err)
	}
	held := dial(t, forwards[0])
	fmt.Fprintln(held, "2")
	n.mendWay()
	check(t, "the answer", hears(t, held), "web-1: 2")
}

// TestForwardOverSilence: a connection to the API server that has become silent, as after
// sleep, is detected and replaced.
func TestForwardOverSilence(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ns := n.reach()
	ns.SetTimes(time.Second, 10*time.Second, waitTime)
	n.serves("web", "web-1")
	_, w, forwards := forwarder(t, ns, "web")
	w.until("web", reach.Listening, "")
	c := dial(t, forwards[0])
	check(t, "the answer", says(t, c, "1"), "web-1: 1")
	silent := make(chan struct{})
	n.set(func(n *node) { n.silent = silent })
	isReset(t, c)
	n.set(func(n *node) { n.silent = nil }) // for new connections
	defer close(silent)
	check(t, "the answer", says(t, dial(t, forwards[0]), "2"), "web-1: 2")
	check(t, "the number of connections", n.linked("web-1"), 2)
}

// TestForwardSet: targets that stay are not changed, removed targets end, and the port of a
// removed target can be reused.
func TestForwardSet(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("web", "web-1")
	n.serves("api", "api-1")
	f, w, forwards := forwarder(t, n.reach(), "web", "api")
	w.until("web", reach.Listening, "")
	w.until("api", reach.Listening, "")
	web, api := dial(t, forwards[0]), dial(t, forwards[1])
	check(t, "the answer", says(t, web, "1"), "web-1: 1")
	check(t, "the answer", says(t, api, "1"), "api-1: 1")
	w.until("web", reach.Connected, "")
	w.mu.Lock()
	told := len(w.all)
	w.mu.Unlock()
	moved := reach.Target{Service: "web", Port: 9090, Local: forwards[1].Local}
	got, err := f.Set([]reach.Target{forwards[0].Target, moved})
	must(t, err)
	isReset(t, api)
	check(t, "the answer", says(t, web, "2"), "web-1: 2")
	check(t, "the address", got[0].Address, forwards[0].Address)
	check(t, "the other address", got[1].Address, forwards[1].Address)
	w.mu.Lock()
	for _, now := range w.all[told:] {
		if now.Target == forwards[0].Target {
			t.Errorf("a forward that is not touched is told to be %s", now.State)
		}
	}
	w.mu.Unlock()
	f.Close()
	isReset(t, web)
	l, err := net.Listen("tcp", forwards[0].Address.String())
	must(t, err)
	l.Close()
}

// TestForwardTaken: a port in use is an error that includes the process, and never silently
// replaced by another port.
func TestForwardTaken(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	us := fmt.Sprintf("reach.test (process %d)", os.Getpid())
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		must(t, err)
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		f := n.reach().Forwarder(reach.ForwardOptions{})
		defer f.Close()
		asked := reach.Target{Service: "web", Port: 80, Local: port}
		other := targets(t, "api")[0]
		forwards, err := f.Set([]reach.Target{asked, other})
		var taken *reach.TakenError
		if !errors.As(err, &taken) || taken.Port != port || taken.Holder != us {
			t.Fatalf("Set = %v, want that port %d is taken by %s", err, port, us)
		}
		check(t, "the message", err.Error(), fmt.Sprintf("local port %d is taken by %s", port, us))
		if len(forwards) != 1 || forwards[0].Target != other {
			t.Errorf("forwarded are %+v", forwards)
		}

		chosen := reach.Target{Service: "web", Port: port}
		same := reach.Target{Service: "db", Port: other.Local}
		twice := reach.Target{Service: "db", Port: 1234, Local: other.Local}
		forwards, err = f.Set([]reach.Target{chosen, other, same, twice})
		if !errors.As(err, &taken) || taken.Service != "api" {
			t.Errorf("Set = %v, want that port %d is taken by api", err, other.Local)
		}
		if len(forwards) != 3 || forwards[0].Taken == nil || forwards[0].Taken.Holder != us || int(forwards[0].Address.Port()) == port ||
			forwards[1].Taken != nil || forwards[2].Taken == nil || forwards[2].Taken.Service != "api" {
			t.Errorf("forwarded are %+v", forwards)
		}
		l.Close()
		again, err := f.Set([]reach.Target{chosen})
		must(t, err)
		check(t, "the address of what is forwarded already", again[0].Address, forwards[0].Address)
	}
}

// TestForwardForbidden: if the server denies access, its message is reported.
func TestForwardForbidden(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.serves("web", "web-1")
	n.set(func(n *node) { n.deny = true })
	_, w, forwards := forwarder(t, n.reach(), "web")
	w.until("web", reach.Listening, "")
	resets(t, forwards[0])
	f := w.until("web", reach.Failed, "web-1")
	check(t, "the reason", f.Err.Error(), `pods/portforward "web-1" is forbidden: by the test`)

	n.config.Impersonate = rest.ImpersonationConfig{UserName: "nobody"} // the proxy to the API server passes it on
	other := n.reach().Forwarder(reach.ForwardOptions{})
	defer other.Close()
	err := other.Known(t.Context())
	if err == nil || !strings.Contains(err.Error(), `User "nobody" cannot`) {
		t.Errorf("Known = %v", err)
	}
}
