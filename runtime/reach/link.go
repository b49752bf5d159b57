package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	constants "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

// times are the intervals and timeouts of connections to a pod. They are used to detect a
// dead connection, for example after sleep or a change of networks, which TCP alone detects
// only after about 15 minutes.
type times struct {
	ping    time.Duration // interval between pings that check whether a connection is alive
	silence time.Duration // after this time without an answer, a connection is dead
	stream  time.Duration // timeout for opening a port over a connection to a pod
	dial    time.Duration // timeout for connecting to a pod
	hold    time.Duration // how long a local connection without a pod is held
}

var usualTimes = times{ping: 5 * time.Second, silence: 15 * time.Second, stream: 5 * time.Second, dial: 10 * time.Second, hold: HoldTime}

// A link is a connection to the ports of one pod, through the API server. It carries one
// local connection after another, but never two concurrently: its protocol has no flow
// control for each stream. A client that does not read would block all others, and a pod that
// has ended without reading its input would block them forever.
type link struct {
	conn    httpstream.Connection
	close   func()
	times   times
	request int // numbers the requests for streams
}

// links are the connections to one pod.
type links struct {
	dial func(context.Context) (*link, error)

	mu     sync.Mutex
	all    map[*link]bool // guarded by mu
	idle   []*link        // links that are not in use; guarded by mu
	closed bool           // guarded by mu
}

// maxIdle is the maximum number of idle links to one pod.
const maxIdle = 8

func newLinks(dial func(context.Context) (*link, error)) *links {
	return &links{dial: dial, all: make(map[*link]bool)}
}

// take returns a link that is not in use. The caller must give it back.
func (ls *links) take(ctx context.Context) (*link, error) {
	ls.mu.Lock()
	for len(ls.idle) > 0 {
		l := ls.idle[len(ls.idle)-1]
		ls.idle = ls.idle[:len(ls.idle)-1]
		if !l.dead() {
			ls.mu.Unlock()
			return l, nil
		}
		delete(ls.all, l)
	}
	ls.mu.Unlock()
	l, err := ls.dial(ctx)
	if err != nil {
		return nil, err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		l.close()
		return nil, errLost
	}
	ls.all[l] = true
	return l, nil
}

// give gives a link back. It is kept if it is usable.
func (ls *links) give(l *link, usable bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if usable && !ls.closed && len(ls.idle) < maxIdle {
		ls.idle = append(ls.idle, l)
		return
	}
	delete(ls.all, l)
	l.close()
}

// end closes all links, and with them the connections that they carry.
func (ls *links) end() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for l := range ls.all {
		l.close()
	}
}

func (l *link) dead() bool {
	select {
	case <-l.conn.CloseChan():
		return true
	default:
		return false
	}
}

// dial connects to the ports of a pod: over a websocket, or over SPDY if the server or a
// proxy does not support websockets.
func (n *Namespace) dial(ctx context.Context, pod string) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, n.times.dial, fmt.Errorf("no answer within %s", n.times.dial))
	defer cancel()
	l, err := n.dialWebsocket(ctx, pod)
	if noWebsocket(err) {
		l, err = n.dialSPDY(ctx, pod)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return l, err
}

func (n *Namespace) dialWebsocket(ctx context.Context, pod string) (*link, error) {
	transport, holder, err := websocket.RoundTripperFor(n.config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.stream(pod, "portforward").URL().String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	ws, err := websocket.Negotiate(transport, holder, req, constants.WebsocketsSPDYTunnelingPortForwardV1)
	if err != nil {
		return nil, err
	}
	tunnel := portforward.NewTunnelingConnectionWithLogger(klog.Logger{}, ws)
	conn, err := streamspdy.NewClientConnectionWithPings(watched{tunnel, n.times.silence}, n.times.ping)
	if err != nil {
		return nil, err
	}
	return &link{conn: conn, times: n.times, close: sync.OnceFunc(func() { _ = tunnel.Close() })}, nil
}

func (n *Namespace) dialSPDY(ctx context.Context, pod string) (*link, error) {
	transport, upgrader, err := spdy.RoundTripperFor(n.config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.stream(pod, "portforward").URL().String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	answer := &answer{}
	conn, _, err := spdy.NegotiateStreaming(upgrader, &http.Client{Transport: answer.of(transport)}, req, constants.PortForwardV1Name)
	if err != nil {
		return nil, answer.error(err, pod)
	}
	return &link{conn: conn, times: n.times, close: sync.OnceFunc(func() { _ = conn.Close() })}, nil
}

// watched is a connection on which pings are answered regularly. Otherwise it fails with a
// timeout.
type watched struct {
	net.Conn
	silence time.Duration
}

func (c watched) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c watched) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// A stream is one connection to a port of a pod.
type stream struct {
	link   *link
	data   httpstream.Stream
	errors httpstream.Stream // the error of the pod's node if there is no connection
}

// errLost means that the connection to a pod is lost, or does not answer.
var errLost = errors.New("the connection to the pod is lost")

// open connects to a port of the pod. After an error, the link cannot be used again.
func (l *link) open(port int) (*stream, error) {
	header := http.Header{}
	header.Set(corev1.PortHeader, strconv.Itoa(port))
	l.request++
	header.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(l.request))
	type result struct {
		kind   string
		stream httpstream.Stream
		err    error
	}
	results := make(chan result, 2)
	for _, kind := range []string{corev1.StreamTypeError, corev1.StreamTypeData} {
		h := header.Clone()
		h.Set(corev1.StreamType, kind)
		// CreateStream has no context, and returns after 30 s at the latest, even on a closed
		// link.
		go func() {
			s, err := l.conn.CreateStream(h)
			results <- result{kind, s, err}
		}()
	}
	s := &stream{link: l}
	timeout := time.NewTimer(l.times.stream)
	defer timeout.Stop()
	for range 2 {
		select {
		case r := <-results:
			switch {
			case r.err != nil:
				return nil, r.err
			case r.kind == corev1.StreamTypeData:
				s.data = r.stream
			default:
				s.errors = r.stream
			}
		case <-l.conn.CloseChan():
			return nil, errLost
		case <-timeout.C:
			l.close()
			return nil, errLost
		}
	}
	_ = s.errors.Close() // nothing is written to it
	return s, nil
}

// end removes the stream from its link.
func (s *stream) end() {
	_ = s.data.Reset()
	_ = s.errors.Reset()
	s.link.conn.RemoveStreams(s.data, s.errors)
}
