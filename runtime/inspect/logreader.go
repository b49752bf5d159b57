package inspect

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A begin says where to begin in the log of a container; the zero one at its start.
type begin struct {
	since time.Time // not earlier
	tail  int64     // with so many of the lines that there are; 0: all
}

// An openLog asks for a log.
type openLog func(ctx context.Context, opts *corev1.PodLogOptions) (io.ReadCloser, error)

// A logReader reads the log of one container, also in several goes: each goes on
// after the line that was given last.
type logReader struct {
	open openLog
	line LogLine // its service, pod and container
	give func(LogLine)

	last time.Time // of the line that was given last; zero: none was
	same int       // how many lines of that time were given
	rest *LogLine  // what the log ended with, without a line's end, and is not given yet
}

// read gives the lines of a log to its end: those after the last one that was given,
// or else those from where it is said to begin. Opened says that there was a log.
func (r *logReader) read(ctx context.Context, from begin, opts corev1.PodLogOptions) (opened bool, err error) {
	switch {
	case !r.last.IsZero():
		opts.SinceTime = &metav1.Time{Time: r.last} // in whole seconds: those that were given are left out below
	case !from.since.IsZero():
		// By the clock of the node, which may not be that of this machine.
		seconds := max(1, int64((time.Since(from.since)+time.Second-1)/time.Second))
		opts.SinceSeconds = &seconds
	}
	if from.tail > 0 && r.last.IsZero() {
		opts.TailLines = &from.tail
	}
	stream, err := r.open(ctx, &opts)
	if err != nil {
		return false, err
	}
	defer func() { _ = stream.Close() }() // it was only read
	r.rest = nil
	in := bufio.NewReaderSize(stream, 4<<10)
	c := cutter{r: r, given: r.same}
	for {
		data, err := in.ReadSlice('\n')
		c.add(data, err == nil)
		switch {
		case errors.Is(err, io.EOF):
			c.end()
			return true, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			c.end()
			return true, err
		}
	}
}

// finish gives what the log ended with, if that is its end. Until then it may be the
// beginning of a line.
func (r *logReader) finish() {
	if r.rest != nil {
		r.give(*r.rest)
		r.rest = nil
	}
}

// A cutter makes lines of what comes of a log.
type cutter struct {
	r     *logReader
	given int // how many lines of the time r.last are still to come that were given before

	buf  []byte
	at   time.Time // of the line that is being read
	in   bool      // a part of that line was given already, as it is long
	skip bool      // it was given before
}

// longestLine is after how many bytes a line is cut.
const longestLine = 64 << 10

// add takes in more of a line. Whole says that it ends there.
func (c *cutter) add(data []byte, whole bool) {
	c.buf = append(c.buf, data...)
	if !whole && len(c.buf) < longestLine {
		return
	}
	line := c.take()
	if !c.skip {
		c.r.give(line)
	}
	if c.in = !whole; whole {
		c.count()
	}
}

// end takes in that nothing more comes: what is left is kept, as it may be the
// beginning of a line whose end is lost.
func (c *cutter) end() {
	if len(c.buf) == 0 {
		return
	}
	began := c.in
	line := c.take()
	switch {
	case c.skip:
	case began: // its beginning was given, and comes no second time
		c.r.give(line)
		c.count()
	default:
		c.r.rest = &line
	}
}

// take returns what there is of the line.
func (c *cutter) take() LogLine {
	line := c.r.line
	text := string(c.buf)
	c.buf = c.buf[:0]
	if !c.in {
		c.at = time.Time{}
		stamp, rest, _ := strings.Cut(text, " ")
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			c.at, text = at, rest
		}
		c.skip = c.before()
	}
	line.Time = c.at
	line.Text = strings.ToValidUTF8(strings.TrimRight(text, "\r\n"), "\uFFFD")
	return line
}

// before reports whether the line was given before.
func (c *cutter) before() bool {
	switch {
	case c.at.IsZero() || c.r.last.IsZero() || c.at.After(c.r.last):
		return false
	case c.at.Equal(c.r.last) && c.given == 0:
		return false
	case c.at.Equal(c.r.last):
		c.given--
	}
	return true
}

// count takes in that a line was read to its end.
func (c *cutter) count() {
	switch {
	case c.skip || c.at.IsZero():
	case c.at.Equal(c.r.last):
		c.r.same++
	default:
		c.r.last, c.r.same, c.given = c.at, 1, 0
	}
}
