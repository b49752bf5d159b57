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

// The exit statuses of a worker, besides those of Go.
const (
	statusIdle   = 0 // nobody needs it any more
	statusMemory = 3 // it uses more memory than it may
	statusCrash  = 2 // of Go: no memory can be had, or the stack is too deep
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
	gone   atomic.Bool     // it is of no use any more
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
	_ = w.in.Encode(toWorker{Settings: &settings{Memory: o.Memory}}) // whether it is there, the first job shows
	return w, nil
}

// ended reports whether the worker is of no use any more.
func (w *worker) ended() bool { return w.gone.Load() }

// end ends the process, whatever it is at, and waits for that.
func (w *worker) end() {
	if w.gone.Swap(true) && w.cmd.ProcessState != nil {
		return
	}
	_ = w.cmd.Process.Kill() // it may have ended
	_ = w.stdin.Close()
	_ = w.cmd.Wait() // how it ended is known, or of no interest
}

// render has the worker render j. If it returns an error that is not about the
// chart, the worker is of no use any more.
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
		return nil, fmt.Errorf("the process that renders charts answers what cannot be read: %w", lost.err)
	}
	_ = w.cmd.Wait() // it says so with its status
	switch status := w.cmd.ProcessState.ExitCode(); {
	case status == statusMemory, status == statusCrash, status < 0, status != statusIdle && template != "":
		// Or by a signal, such as that of a system without memory.
		lost.err = &BoundError{Chart: j.Chart.Name(), Template: template, Bound: "more than " + size(o.Memory) + " of memory"}
	default:
		lost.err = fmt.Errorf("the process that renders charts has ended: %w", w.stderr.explain(errors.New(w.cmd.ProcessState.String())))
	}
	return nil, lost
}

var errTime = errors.New("rendering takes too long")

// A lostError says that a worker does not answer.
type lostError struct {
	err   error
	begun bool // it had begun to answer; otherwise it may have ended before it got the job
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// mostCharts is how many charts a worker has: they use memory.
const mostCharts = 16

// talk says to the worker what it is to do, and answers its questions.
func (w *worker) talk(j Job, o Options, template *string) (map[string]string, error) {
	r := j.request(o)
	if len(w.sent) >= mostCharts {
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
	// The worker may use what it decodes, and more for the answer.
	w.budget.left = 2*int64(o.Output) + 16<<20
	begun := false
	send := func(m toWorker) error {
		err := w.in.Encode(m)
		var pipe *fs.PathError
		if errors.As(err, &pipe) {
			return &lostError{err, begun}
		}
		return err // of values that cannot be written
	}
	if err := send(toWorker{Request: &r}); err != nil {
		return nil, err
	}
	w.sent[j.Key] = true
	var asked error // what the cluster said last that was wrong
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

// A failedError is what Helm says is wrong with a chart, and the error of the
// cluster that may be the reason.
type failedError struct {
	text string
	err  error // nil: none
}

func (e *failedError) Error() string { return e.text }
func (e *failedError) Unwrap() error { return e.err }

// A budget reads as much as one answer may have.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("it answers more than it may")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// A tail keeps the end of what a worker prints, which says why it ended.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.text = append(t.text, p...)
	if n := len(t.text); n > most {
		t.text = append(t.text[:0], t.text[n-most:]...)
	}
	return len(p), nil
}

// explain adds what was printed to an error. The worker must have ended.
func (t *tail) explain(err error) error {
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}
