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

// A client is a local connection that is carried to a pod, at the first attempt
// or a later one. What it has sent is kept until something has come back: to a
// pod that refuses the connection nothing was delivered, so that it can be sent
// to another one.
type client struct {
	*net.TCPConn

	mu       sync.Mutex
	sent     []byte // guarded by mu
	answered bool   // something has come back, or too much was sent to be kept; guarded by mu
}

// mostKept bounds what is kept of a client.
const mostKept = 64 << 10

// Read reads what is carried to the pod.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered {
		return n, err
	}
	if c.sent = append(c.sent, p[:n]...); len(c.sent) > mostKept {
		c.answered, c.sent = true, nil
	}
	return n, err
}

// answer notes that something has come back.
func (c *client) answer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered, c.sent = true, nil
}

// kept returns what has to be sent to another pod, and whether that can be done.
func (c *client) kept() (sent []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, !c.answered
}

// abort closes the connection so that the client sees an error, and not an end.
func (c *client) abort() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// finish closes the connection so that the client gets all that the pod has said:
// what it still says is not answered with a reset, for a moment.
func (c *client) finish() {
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(time.Second / 2))
	_, _ = io.Copy(io.Discard, c.TCPConn)
	_ = c.Close()
}

// A refusedError is what a pod's node says of a port that cannot be reached.
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

// nobodyListens reports whether a message of a node says that a pod has refused
// the connection. The protocol has nothing but the words of the node's system.
func nobodyListens(message string) bool {
	return strings.Contains(strings.ToLower(message), "connection refused")
}

// An outcome is how the attempt to carry a local connection has ended.
type outcome struct {
	err    error // nil, or a *refusedError or errLost if a pod was tried
	retry  bool  // nothing was delivered: another attempt may do better
	usable bool  // the link can carry something again
}

// carry carries what c and a port of a pod say to each other, until both have
// ended, or one of them is gone, or ctx ends. It calls answered when the pod says
// something for the first time.
func carry(ctx context.Context, c *client, l *link, pod string, port int, answered func()) (o outcome) {
	s, err := l.open(port)
	if err != nil {
		return outcome{err: errLost, retry: true}
	}
	defer s.end()
	gone := make(chan struct{}) // the client is
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
	var said atomic.Bool // all that the client has to say, so that the pod has read it if it ends
	over := make(chan struct{})
	go func() {
		defer close(over)
		switch err := s.up(c); {
		case err == nil:
			said.Store(s.data.Close() == nil) // the pod sees the end, and may still answer
		case !errors.Is(err, os.ErrDeadlineExceeded):
			leave()
		}
	}()
	if err := s.down(c, sync.OnceFunc(answered)); err != nil {
		leave()
	}
	o.usable = said.Load()
	// What the node has to say comes before the end of the data.
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
	// The goroutine that reads from the client ends, so that another attempt can read.
	_ = c.SetReadDeadline(time.Unix(1, 0))
	_ = s.data.Reset()
	<-over
	_ = c.SetReadDeadline(time.Time{})
	sent, kept := c.kept()
	o.retry = kept && (o.retry || errors.Is(o.err, errLost) && len(sent) == 0)
	return o
}

// up carries what the client says to the pod, and first what it has said at an
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

// down carries what the pod says to the client. Its error is the client's.
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
			return nil //nolint:nilerr // it is the end, whatever the reason: the node says more
		}
	}
}
