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

// A begin is where to begin in the log of a container; zero: at the start of the log.
type begin struct {
	since time.Time // skip lines before this time
	tail  int64     // only this many of the existing lines; 0: all
}

// An openLog requests a log.
type openLog func(ctx context.Context, opts *corev1.PodLogOptions) (io.ReadCloser, error)

// A logReader reads the log of one container, with one or more calls of read: each continues
// after the last line that was passed to give.
type logReader struct {
	open openLog
	line LogLine // a template with service, pod and container
	give func(LogLine)

	last time.Time // of the last line passed to give; zero: none
	same int       // how many lines with that time were passed to give
	rest *LogLine  // text at the end of the log without a newline, not passed to give yet
}

// read passes the lines of a log to give, up to its end: those after the last one, or, in the
// first call, those selected by from. opened reports whether the log could be opened.
func (r *logReader) read(ctx context.Context, from begin, opts corev1.PodLogOptions) (opened bool, err error) {
	switch {
	case !r.last.IsZero():
		opts.SinceTime = &metav1.Time{Time: r.last} // in whole seconds; repeated lines are skipped below
	case !from.since.IsZero():
		// By the clock of the node, which may differ from that of this machine.
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

// finish passes the text at the end of the log to give if no more follows. Before that, it
// may be the beginning of a line.
func (r *logReader) finish() {
	if r.rest != nil {
		r.give(*r.rest)
		r.rest = nil
	}
}

// A cutter splits the data of a log into lines.
type cutter struct {
	r     *logReader
	given int // how many lines with the time r.last are still to be skipped

	buf  []byte
	at   time.Time // of the current line
	in   bool      // a part of the current line was passed already because it is long
	skip bool      // the current line was passed before
}

// maxLine is the number of bytes after which a line is split.
const maxLine = 64 << 10

// add adds data to the current line. whole means that the line ends.
func (c *cutter) add(data []byte, whole bool) {
	c.buf = append(c.buf, data...)
	if !whole && len(c.buf) < maxLine {
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

// end handles the end of the data: an incomplete line is kept, because its end may have been
// lost.
func (c *cutter) end() {
	if len(c.buf) == 0 {
		return
	}
	began := c.in
	line := c.take()
	switch {
	case c.skip:
	case began: // its beginning was passed, and will not be repeated
		c.r.give(line)
		c.count()
	default:
		c.r.rest = &line
	}
}

// take returns the current line so far.
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

// before reports whether the line was passed before.
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

// count records that a line is complete.
func (c *cutter) count() {
	switch {
	case c.skip || c.at.IsZero():
	case c.at.Equal(c.r.last):
		c.r.same++
	default:
		c.r.last, c.r.same, c.given = c.at, 1, 0
	}
}
