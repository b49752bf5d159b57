package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A client is a local connection that is forwarded to a pod, in one or more attempts.
// The data that it has sent is kept until the pod responds: a pod that refuses the
// connection has received nothing, so the data can be sent
// to another one.
type client struct {
	*net.TCPConn

	mu       sync.Mutex
	sent     []byte // guarded by mu
	answered bool   // the pod has responded, or too much was sent to be kept; guarded by mu
}

// maxKept is the maximum amount of data that is kept for a client.
const maxKept = 64 << 10

// Read reads the data to forward to the pod.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered {
		return n, err
	}
	if c.sent = append(c.sent, p[:n]...); len(c.sent) > maxKept {
		c.answered, c.sent = true, nil
	}
	return n, err
}

// answer records that the pod has responded.
func (c *client) answer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered, c.sent = true, nil
}

// kept returns the data to send to another pod, and whether that is possible.
func (c *client) kept() (sent []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, !c.answered
}

// abort closes the connection so that the client sees an error, and not an EOF.
func (c *client) abort() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// finish closes the connection so that the client receives all data of the pod:
// for a moment, data that the client still sends does not cause a reset.
func (c *client) finish() {
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(time.Second / 2))
	_, _ = io.Copy(io.Discard, c.TCPConn)
	_ = c.Close()
}

// A refusedError is the error of a pod's node about a port that cannot be reached.
type refusedError struct {
	pod     string
	port    int
	message string
}

func (e *refusedError) Error() string {
	if nobodyListens(e.message) {
		return fmt.Sprintf("nothing listens on port %d in pod %s", e.port, e.pod)
	}
	return fmt.Sprintf("port %d of pod %s: %s", e.port, e.pod, e.message)
}

// nobodyListens reports whether a message of a node means that a pod has refused
// the connection. The protocol provides only the error text of the node's system.
func nobodyListens(message string) bool {
	return strings.Contains(strings.ToLower(message), "connection refused")
}

// An outcome is the result of an attempt to forward a local connection.
type outcome struct {
	err    error // nil, or a *refusedError or errLost if a pod was tried
	retry  bool  // nothing was delivered: another attempt may succeed
	usable bool  // the link can be used again
}

// carry forwards data between c and a port of a pod until both have
// ended, one of them is gone, or ctx is done. It calls answered when the pod sends
// its first data.
func carry(ctx context.Context, c *client, l *link, pod string, port int, answered func()) (o outcome) {
	s, err := l.open(port)
	if err != nil {
		return outcome{err: errLost, retry: true}
	}
	defer s.end()
	gone := make(chan struct{}) // the client is gone
	leave := sync.OnceFunc(func() {
		close(gone)
		_ = s.data.Reset()
	})
	defer context.AfterFunc(ctx, leave)()
	message := make(chan string, 1)
	go func() { // it ends with the stream
		text, _ := io.ReadAll(io.LimitReader(s.errors, 4<<10))
		message <- strings.TrimSpace(string(text))
	}()
	var said atomic.Bool // the client has sent everything, so the pod has read it if it ends
	over := make(chan struct{})
	go func() {
		defer close(over)
		switch err := s.up(c); {
		case err == nil:
			said.Store(s.data.Close() == nil) // the pod sees EOF, and may still respond
		case !errors.Is(err, os.ErrDeadlineExceeded):
			leave()
		}
	}()
	if err := s.down(c, sync.OnceFunc(answered)); err != nil {
		leave()
	}
	o.usable = said.Load()
	// The error of the node arrives before the end of the data.
	select {
	case <-gone:
		o.usable = false
	case text := <-message:
		switch {
		case text != "":
			o.err, o.usable = &refusedError{pod, port, text}, false
			o.retry = nobodyListens(text)
		case l.dead():
			o.err = errLost
		}
	case <-l.conn.CloseChan():
		o.err = errLost
	case <-time.After(l.times.stream):
		o.usable = false
	}
	// End the goroutine that reads from the client, so that another attempt can read.
	_ = c.SetReadDeadline(time.Unix(1, 0))
	_ = s.data.Reset()
	<-over
	_ = c.SetReadDeadline(time.Time{})
	sent, kept := c.kept()
	o.retry = kept && (o.retry || errors.Is(o.err, errLost) && len(sent) == 0)
	return o
}

// up forwards data from the client to the pod, starting with the data of an
// earlier attempt.
func (s *stream) up(c *client) error {
	if sent, _ := c.kept(); len(sent) > 0 {
		if _, err := s.data.Write(sent); err != nil {
			return err
		}
	}
	_, err := io.Copy(s.data, struct{ io.Reader }{c})
	return err
}

// down forwards data from the pod to the client. Its error is the client's.
func (s *stream) down(c *client, answered func()) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.data.Read(buf)
		if n > 0 {
			c.answer()
			answered()
			if _, err := c.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the stream has ended; the node reports the reason
		}
	}
}
