package reach_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	constants "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/pipelinefile/pipe/runtime/internal/testenv"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// A node is a fake node with its own namespace on a real API server. No pods run on it: a
// test creates pods and sets their status. A proxy in front of the API server answers the
// requests that the API server would send to the node, with listeners of the test.
type node struct {
	t         *testing.T
	name      string
	namespace string
	client    kubernetes.Interface
	config    *rest.Config // of the proxy to the API server

	mu       sync.Mutex
	ports    map[string]string // the address of the listener for a port of a pod, such as "pod:8080"
	links    map[string]int    // the number of connections to a pod
	spdyOnly bool              // no websockets
	down     bool              // the proxy to the API server is broken
	silent   chan struct{}     // while it is open, data through the proxy does not arrive; nil: it does
	deny     bool              // port forwarding is forbidden
	conns    map[net.Conn]bool
	run      func(*process) error // runs commands; default: on this machine

	refused chan struct{} // of size 1; has a token when nothing listens on a port
}

// newNode creates a namespace with a node.
func newNode(t *testing.T) *node {
	t.Helper()
	config := testenv.Cluster(t)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	n := &node{
		t: t, client: client, namespace: testenv.Namespace(t), name: fmt.Sprintf("node-%d", time.Now().UnixNano()),
		ports: make(map[string]string), links: make(map[string]int), conns: make(map[net.Conn]bool), refused: make(chan struct{}, 1), run: runsHere,
	}
	_, err = client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "test", Value: n.name, Effect: corev1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = client.CoreV1().Nodes().Delete(context.Background(), n.name, metav1.DeleteOptions{}) })
	// Pods need it, and it is created some time after the namespace.
	_, err = client.CoreV1().ServiceAccounts(n.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}

	transport, err := rest.TransportFor(config)
	must(t, err)
	target, err := url.Parse(config.Host)
	must(t, err)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.refuses(w, r) {
			return
		}
		pod, subresource := path.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"+n.namespace+"/pods/"))
		switch subresource {
		case "portforward":
			n.forward(w, r, strings.TrimSuffix(pod, "/"))
		case "exec":
			n.execute(w, r, strings.TrimSuffix(pod, "/"))
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	server.Listener = &listener{server.Listener, n}
	server.Start()
	t.Cleanup(func() {
		n.breakWay()
		server.Close()
	})
	n.config = &rest.Config{Host: server.URL, QPS: 1000, Burst: 2000}
	return n
}

// A listener is the listener of the proxy to the API server.
type listener struct {
	net.Listener
	n *node
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.n.mu.Lock()
		down := l.n.down
		l.n.conns[conn] = true
		l.n.mu.Unlock()
		if !down {
			return &wayConn{conn, l.n}, nil
		}
		conn.Close()
	}
}

// A wayConn is a connection through the proxy to the API server.
type wayConn struct {
	net.Conn
	n *node
}

func (c *wayConn) Write(p []byte) (int, error) {
	c.n.mu.Lock()
	silent := c.n.silent
	c.n.mu.Unlock()
	if silent != nil {
		<-silent
	}
	return c.Conn.Write(p)
}

func (c *wayConn) Close() error {
	c.n.mu.Lock()
	delete(c.n.conns, c.Conn)
	c.n.mu.Unlock()
	return c.Conn.Close()
}

// breakWay closes all connections to the API server, and refuses new ones.
func (n *node) breakWay() {
	n.mu.Lock()
	n.down = true
	conns := slices.Collect(maps.Keys(n.conns))
	n.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

func (n *node) mendWay() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

// set changes the behaviour of the node.
func (n *node) set(change func(*node)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// refuses answers a forbidden request for a stream to a pod.
func (n *node) refuses(w http.ResponseWriter, r *http.Request) bool {
	subresource := path.Base(r.URL.Path)
	n.mu.Lock()
	refused := n.deny && (subresource == "portforward" || subresource == "exec")
	n.mu.Unlock()
	if refused {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(apierrors.NewForbidden(corev1.Resource("pods/"+subresource), path.Base(path.Dir(r.URL.Path)), errors.New("by the test")).Status())
	}
	return refused
}

// forward does what a kubelet and the API server do to forward ports of a pod.
func (n *node) forward(w http.ResponseWriter, r *http.Request, pod string) {
	n.mu.Lock()
	n.links[pod]++
	spdyOnly := n.spdyOnly
	n.mu.Unlock()
	p := &pairs{n: n, pod: pod, streams: make(map[string]map[string]httpstream.Stream)}
	var conn httpstream.Connection
	switch {
	case !websocket.IsWebSocketUpgrade(r):
		if _, err := httpstream.Handshake(r, w, []string{constants.PortForwardV1Name}); err != nil {
			return
		}
		conn = streamspdy.NewResponseUpgrader().UpgradeResponse(w, r, p.add)
	case spdyOnly:
		http.Error(w, "no websockets here", http.StatusBadRequest)
		return
	default:
		up := websocket.Upgrader{Subprotocols: []string{constants.WebsocketsSPDYTunnelingPortForwardV1}}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		if conn, err = streamspdy.NewServerConnection(portforward.NewTunnelingConnection("node", ws), p.add); err != nil {
			return
		}
	}
	<-conn.CloseChan()
}

// pairs are streams of a connection that wait for the other stream of their request.
type pairs struct {
	n   *node
	pod string

	mu      sync.Mutex
	streams map[string]map[string]httpstream.Stream
}

func (p *pairs) add(s httpstream.Stream, replied <-chan struct{}) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
	if p.streams[id] == nil {
		p.streams[id] = make(map[string]httpstream.Stream)
	}
	p.streams[id][s.Headers().Get(corev1.StreamType)] = s
	if pair := p.streams[id]; len(pair) == 2 {
		go func() {
			<-replied
			p.n.carry(p.pod, pair[corev1.StreamTypeData], pair[corev1.StreamTypeError])
		}()
	}
	return nil
}

// carry forwards a stream to a port of a pod.
func (n *node) carry(pod string, data, errs httpstream.Stream) {
	defer data.Close()
	defer errs.Close()
	port := data.Headers().Get(corev1.PortHeader)
	n.mu.Lock()
	addr := n.ports[pod+":"+port]
	n.mu.Unlock()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Fprintf(errs, "an error occurred forwarding %s: dial tcp4 127.0.0.1:%s: connect: connection refused", port, port)
		select {
		case n.refused <- struct{}{}:
		default:
		}
		return
	}
	defer conn.Close()
	go func() {
		if _, err := io.Copy(conn, data); err == nil {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	_, _ = io.Copy(data, conn)
}

// pod creates a pod of a service that declares port 8080. It is not ready.
func (n *node) pod(service, name string) {
	n.t.Helper()
	n.add(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/instance": service}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}},
	})
	n.is(name, false)
}

// add creates a pod.
func (n *node) add(p *corev1.Pod) {
	n.t.Helper()
	grace := int64(1000) // it terminates after the end of the test
	p.Spec.NodeName, p.Spec.TerminationGracePeriodSeconds = n.name, &grace
	_, err := n.client.CoreV1().Pods(n.namespace).Create(n.t.Context(), p, metav1.CreateOptions{})
	must(n.t, err)
}

// is sets the only container of a pod to running, ready or not.
func (n *node) is(pod string, ready bool) {
	n.t.Helper()
	is := corev1.ConditionFalse
	if ready {
		is = corev1.ConditionTrue
	}
	n.status(pod, corev1.PodStatus{
		Phase:      corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: is}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", Ready: ready, ContainerID: "test://" + pod, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}},
	})
}

// status sets the status of a pod.
func (n *node) status(pod string, status corev1.PodStatus) {
	n.t.Helper()
	p, err := n.client.CoreV1().Pods(n.namespace).Get(n.t.Context(), pod, metav1.GetOptions{})
	must(n.t, err)
	p.Status = status
	_, err = n.client.CoreV1().Pods(n.namespace).UpdateStatus(n.t.Context(), p, metav1.UpdateOptions{})
	must(n.t, err)
}

// terminate starts to delete a pod, which stays ready.
func (n *node) terminate(pod string) {
	n.t.Helper()
	must(n.t, n.client.CoreV1().Pods(n.namespace).Delete(n.t.Context(), pod, metav1.DeleteOptions{}))
}

// gone deletes a pod immediately.
func (n *node) gone(pod string) {
	n.t.Helper()
	now := int64(0)
	must(n.t, n.client.CoreV1().Pods(n.namespace).Delete(n.t.Context(), pod, metav1.DeleteOptions{GracePeriodSeconds: &now}))
}

// listens makes handle serve each connection to port 8080 of a pod.
func (n *node) listens(pod string, handle func(net.Conn)) {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(n.t, err)
	n.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	n.set(func(n *node) { n.ports[pod+":8080"] = l.Addr().String() })
}

// serves creates a ready pod that answers each line with its name.
func (n *node) serves(service, pod string) {
	n.t.Helper()
	n.pod(service, pod)
	n.listens(pod, answers(pod))
	n.is(pod, true)
}

// answers answers each line with a name and the line.
func answers(name string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 1000)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s: %s", name, buf[:n])
		}
	}
}

// linked returns the number of connections to a pod.
func (n *node) linked(pod string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[pod]
}

// reach returns the namespace under test.
func (n *node) reach() *reach.Namespace {
	n.t.Helper()
	ns, err := reach.Open(n.config, n.namespace)
	must(n.t, err)
	n.t.Cleanup(ns.Close)
	return ns
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// other creates a ready pod of a service that has no port.
func (n *node) other(service, name string) {
	n.t.Helper()
	n.add(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/instance": service}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	})
	n.is(name, true)
}
