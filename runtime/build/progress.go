package build

import (
	"bytes"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/pipelinefile/pipe/runtime"
)

const (
	tailLines = 30       // number of output lines shown for a failed step
	longLine  = 16 << 10 // bytes after which a line is split
	byteEvery = 250 * time.Millisecond
	moment    = time.Millisecond
	holdFor   = 300 * time.Millisecond
)

// A progress converts BuildKit's status of one build to events.
type progress struct {
	emit runtime.Emit
	hide func(string) string // redacts secrets
	// Steps by their digests. Only follow uses them until it returns.
	steps map[digest.Digest]*step
	cache noCache // only follow uses it until it returns
}

// A step is a vertex of BuildKit's graph.
type step struct {
	id, name string
	started  *time.Time
	done     bool
	buf      []byte // of a line without its end
	tail     []string
	bytes    map[string]transferred
	reported time.Time // when bytes were last reported
	failed   string
	held     *runtime.BuildStep // an end that is not reported yet
	since    time.Time          // of held
}

type transferred struct{ current, total int64 }

func newProgress(emit runtime.Emit, hide func(string) string) *progress {
	return &progress{emit: emit, hide: hide, steps: map[digest.Digest]*step{}}
}

// follow emits events until the channel is closed.
func (p *progress) follow(status <-chan *client.SolveStatus) {
	for s := range status {
		for _, v := range s.Vertexes {
			p.vertex(v)
		}
		for _, st := range s.Statuses {
			p.status(st)
		}
		for _, l := range s.Logs {
			p.log(l)
		}
		for _, s := range p.steps {
			if s.held != nil && time.Since(s.since) > holdFor {
				p.end(s)
			}
		}
	}
	for _, s := range p.steps {
		p.end(s)
		p.flush(s)
	}
}

func (p *progress) step(d digest.Digest) *step {
	s := p.steps[d]
	if s == nil {
		id := d.Encoded()
		s = &step{id: id[:min(12, len(id))], bytes: map[string]transferred{}}
		p.steps[d] = s
	}
	return s
}

// vertex reports that a step starts or ends. BuildKit briefly starts and ends many steps
// before it really runs them, so an end is held back until it is known to be final.
func (p *progress) vertex(v *client.Vertex) {
	s := p.step(v.Digest)
	if s.name == "" {
		s.name = p.hide(v.Name)
	}
	if v.Started != nil && (s.started == nil || s.done && v.Started.After(*s.started)) {
		again := s.held != nil // it continues
		s.started, s.done, s.failed, s.held = v.Started, false, "", nil
		if v.Completed == nil {
			p.cache.busy(v.Name)
		}
		if !v.Cached && !again {
			p.emit(runtime.BuildStep{ID: s.id, Name: s.name, Started: true})
		}
	}
	if v.Completed == nil || s.done && v.Error == s.failed {
		return
	}
	p.cache.ended(v.Name)
	s.done, s.failed = true, v.Error
	e := runtime.BuildStep{Done: true, Cached: v.Cached}
	if v.Error != "" && !p.cache.failed(v) {
		e.Error = p.hide(v.Error)
	}
	if v.Started != nil {
		e.Took = v.Completed.Sub(*v.Started)
	}
	s.held, s.since = &e, time.Now()
	if e.Took > moment || v.Cached || v.Error != "" {
		p.end(s)
	}
}

// end reports an end that was held back.
func (p *progress) end(s *step) {
	if s.held == nil {
		return
	}
	p.flush(s)
	e := *s.held
	s.held = nil
	e.ID, e.Name = s.id, s.name
	for _, b := range s.bytes {
		e.Bytes, e.Of = e.Bytes+b.current, e.Of+b.total
	}
	p.emit(e)
}

// status reports the bytes that a step has transferred.
func (p *progress) status(st *client.VertexStatus) {
	if st.Current == 0 && st.Total == 0 {
		return
	}
	s := p.step(st.Vertex)
	if !s.done {
		p.cache.busy(s.name)
	}
	s.bytes[st.ID] = transferred{st.Current, st.Total}
	if s.done || s.name == "" || time.Since(s.reported) < byteEvery {
		return
	}
	s.reported = time.Now()
	e := runtime.BuildStep{ID: s.id, Name: s.name}
	for _, b := range s.bytes {
		e.Bytes, e.Of = e.Bytes+b.current, e.Of+b.total
	}
	p.emit(e)
}

// log reports the lines that a step has printed.
func (p *progress) log(l *client.VertexLog) {
	s := p.step(l.Vertex)
	s.buf = append(s.buf, l.Data...)
	for {
		i := bytes.IndexByte(s.buf, '\n')
		if i < 0 && len(s.buf) < longLine {
			return
		}
		end := i
		if i < 0 || i > longLine {
			i, end = longLine-1, longLine
		}
		line := string(s.buf[:end])
		s.buf = s.buf[i+1:]
		p.line(s, line)
	}
}

// flush reports a last line without a newline.
func (p *progress) flush(s *step) {
	if len(s.buf) > 0 {
		line := string(s.buf)
		s.buf = nil
		p.line(s, line)
	}
}

func (p *progress) line(s *step, line string) {
	line = strings.TrimSuffix(line, "\r")
	// Of a line that was overwritten repeatedly, only the last state is kept.
	line = line[strings.LastIndexByte(line, '\r')+1:]
	line = p.hide(strings.ToValidUTF8(line, "\uFFFD"))
	if len(s.tail) == tailLines {
		s.tail = s.tail[1:]
	}
	s.tail = append(s.tail, line)
	p.emit(runtime.Log{Source: s.name, Text: line})
}
