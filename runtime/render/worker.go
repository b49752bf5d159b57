package render

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// The exit statuses of a worker.
const (
	statusIdle   = 0 // it is no longer needed
	statusMemory = 3 // it exceeded its memory limit
	statusCrash  = 2 // from the Go runtime: out of memory, or stack overflow
)

// A worker is a process that renders charts, one after the other.
type worker struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	in     *gob.Encoder
	out    *gob.Decoder
	budget *budget
	stderr tail
	sent   map[string]bool // the keys of the charts that it has
	gone   atomic.Bool     // it can no longer be used
}

// start starts a worker.
func start(o Options) (*worker, error) {
	register()
	w := &worker{cmd: exec.Command(o.Executable, Args()...), sent: make(map[string]bool)}
	w.cmd.Env = environ()
	w.cmd.Stderr = &w.stderr
	w.cmd.WaitDelay = time.Second
	apart(w.cmd)
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process that renders charts: %w", err)
	}
	w.stdin, w.in = stdin, gob.NewEncoder(stdin)
	w.budget = &budget{r: bufio.NewReader(stdout)}
	w.out = gob.NewDecoder(w.budget)
	_ = w.in.Encode(toWorker{Settings: &settings{Memory: o.Memory}}) // an error shows with the first job
	return w, nil
}

// ended reports whether the worker can no longer be used.
func (w *worker) ended() bool { return w.gone.Load() }

// end kills the process and waits for its end.
func (w *worker) end() {
	if w.gone.Swap(true) && w.cmd.ProcessState != nil {
		return
	}
	_ = w.cmd.Process.Kill() // it may have ended
	_ = w.stdin.Close()
	_ = w.cmd.Wait() // its status is known or irrelevant
}

// render renders j in the worker. If it returns an error that is not about the
// chart, the worker can no longer be used.
func (w *worker) render(ctx context.Context, j Job, o Options) (map[string]string, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, o.Time, errTime)
	defer cancel()
	stop := context.AfterFunc(bounded, func() {
		w.gone.Store(true)
		_ = w.cmd.Process.Kill() // it may have ended
	})
	defer stop()
	template := ""
	files, err := w.talk(j, o, &template)
	if !stop() && bounded.Err() != nil { // it was killed
		err = context.Cause(bounded)
		if errors.Is(err, errTime) {
			err = &BoundError{Chart: j.Chart.Name(), Template: template, Bound: fmt.Sprintf("more than %v", o.Time)}
		} else if template != "" {
			err = fmt.Errorf("in template %s: %w", template, err)
		}
		w.end()
		return nil, err
	}
	var lost *lostError
	if !errors.As(err, &lost) {
		return files, boundOf(j, err)
	}
	w.gone.Store(true)
	var pipe *fs.PathError
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &pipe) {
		w.end()
		return nil, fmt.Errorf("cannot read the response of the process that renders charts: %w", lost.err)
	}
	_ = w.cmd.Wait() // the status is checked below
	switch status := w.cmd.ProcessState.ExitCode(); {
	case status == statusMemory, status == statusCrash, status < 0, status != statusIdle && template != "":
		// Or by a signal, such as that of the OOM killer.
		lost.err = &BoundError{Chart: j.Chart.Name(), Template: template, Bound: "more than " + size(o.Memory) + " of memory"}
	default:
		lost.err = fmt.Errorf("the process that renders charts has ended: %w", w.stderr.explain(errors.New(w.cmd.ProcessState.String())))
	}
	return nil, lost
}

var errTime = errors.New("rendering takes too long")

// A lostError means that a worker does not respond.
type lostError struct {
	err   error
	begun bool // it had started to respond; otherwise it may have ended before it got the job
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// maxCharts is the maximum number of charts that a worker caches.
const maxCharts = 16

// talk sends a job to the worker, and handles its messages.
func (w *worker) talk(j Job, o Options, template *string) (map[string]string, error) {
	r := j.request(o)
	if len(w.sent) >= maxCharts {
		clear(w.sent)
		r.Forget = true
	}
	if !w.sent[j.Key] {
		c, err := toWire(j.Chart)
		if err != nil {
			return nil, err
		}
		r.Chart = c
	}
	// Allow twice the output limit for the response, plus overhead.
	w.budget.left = 2*int64(o.Output) + 16<<20
	begun := false
	send := func(m toWorker) error {
		err := w.in.Encode(m)
		var pipe *fs.PathError
		if errors.As(err, &pipe) {
			return &lostError{err, begun}
		}
		return err // values that cannot be encoded
	}
	if err := send(toWorker{Request: &r}); err != nil {
		return nil, err
	}
	w.sent[j.Key] = true
	var asked error // the last error of the cluster
	for {
		var m fromWorker
		if err := w.out.Decode(&m); err != nil {
			return nil, &lostError{err, begun}
		}
		begun = true
		if m.Template != "" {
			*template = m.Template
		}
		if m.Log != "" {
			_, _ = io.WriteString(log.Writer(), m.Log+"\n") // as Helm does
		}
		if q := m.Query; q != nil {
			object, err := j.lookup(*q)
			answer := &found{Object: pack(object)}
			if err != nil {
				asked, answer.Err = err, err.Error()
			}
			if err := send(toWorker{Found: answer}); err != nil {
				return nil, err
			}
		}
		switch d := m.Done; {
		case d == nil:
		case d.Over != "":
			return nil, &overError{d.Of, d.Over}
		case d.Err != "":
			return nil, &failedError{d.Err, asked}
		default:
			return d.Files, nil
		}
	}
}

// A failedError is Helm's error about a chart, and the error of the
// cluster that may be its cause.
type failedError struct {
	text string
	err  error // nil: none
}

func (e *failedError) Error() string { return e.text }
func (e *failedError) Unwrap() error { return e.err }

// A budget is a reader that limits the size of one response.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the response is too large")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// A tail keeps the end of a worker's output, which says why it ended.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const maxTail = 4 << 10
	t.text = append(t.text, p...)
	if n := len(t.text); n > maxTail {
		t.text = append(t.text[:0], t.text[n-maxTail:]...)
	}
	return len(p), nil
}

// explain adds the output to an error. The worker must have ended.
func (t *tail) explain(err error) error {
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}
