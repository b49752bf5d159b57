package reach

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Dial connects to a port of a pod, through the API server. The connection has no deadlines:
// it fails if the pod or the API server does not answer for some time.
func (n *Namespace) Dial(ctx context.Context, pod string, port int) (net.Conn, error) {
	l, err := n.dial(ctx, pod)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, l.close)()
	s, err := l.open(port)
	if err != nil {
		l.close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	c := &podConn{stream: s, pod: pod, port: port, message: make(chan string, 1)}
	go func() { // it ends with the stream
		text, _ := io.ReadAll(io.LimitReader(s.errors, 4<<10))
		c.message <- strings.TrimSpace(string(text))
	}()
	return c, nil
}

// A podConn is a connection to a port of a pod, with a link of its own.
type podConn struct {
	stream  *stream
	pod     string
	port    int
	message chan string // of the pod's node, if there is no connection

	ended sync.Once
	err   error // why it has ended; set by ended
}

// Read reads what the pod sends. At the end, the error is that of the pod's node, if it has
// reported one.
func (c *podConn) Read(p []byte) (int, error) {
	n, err := c.stream.data.Read(p)
	if err == nil || n > 0 {
		return n, nil
	}
	c.ended.Do(func() {
		c.err = err
		select {
		case text := <-c.message:
			switch {
			case text != "":
				c.err = &refusedError{c.pod, c.port, text}
			case c.stream.link.dead():
				c.err = errLost
			}
		case <-c.stream.link.conn.CloseChan():
			c.err = errLost
		case <-time.After(c.stream.link.times.stream):
		}
	})
	return 0, c.err
}

// Write sends to the pod.
func (c *podConn) Write(p []byte) (int, error) { return c.stream.data.Write(p) }

// Close ends the connection.
func (c *podConn) Close() error {
	c.stream.end()
	c.stream.link.close()
	return nil
}

// LocalAddr implements [net.Conn].
func (c *podConn) LocalAddr() net.Addr { return podAddr("") }

// RemoteAddr returns the name of the pod.
func (c *podConn) RemoteAddr() net.Addr { return podAddr(c.pod) }

// SetDeadline implements [net.Conn].
func (c *podConn) SetDeadline(time.Time) error { return errors.ErrUnsupported }

// SetReadDeadline implements [net.Conn].
func (c *podConn) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline implements [net.Conn].
func (c *podConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// A podAddr is the name of a pod.
type podAddr string

// Network implements [net.Addr].
func (podAddr) Network() string { return "pod" }

// String implements [net.Addr].
func (a podAddr) String() string { return string(a) }
