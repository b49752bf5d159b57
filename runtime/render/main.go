package render

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log"
	goruntime "runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/chart"
)

// Main is a worker: it renders what it is told to on stdin, until that ends. It
// needs the process for itself, and ends it by exit where it cannot return.
func Main(stdin io.Reader, stdout io.Writer, exit func(status int)) error {
	register()
	s := &server{out: gob.NewEncoder(stdout), charts: make(map[string]*chart.Chart), exit: exit, messages: make(chan toWorker)}
	in := gob.NewDecoder(bufio.NewReader(stdin))
	var first toWorker
	if err := in.Decode(&first); err != nil || first.Settings == nil {
		return errors.New("it renders charts for pipe, and is not to be run by hand")
	}
	if err := confine(first.Settings.Memory); err != nil {
		return fmt.Errorf("limit the memory of this process: %w", err)
	}
	log.SetFlags(0)
	log.SetOutput(s)
	go s.read(in)
	go s.watch(first.Settings.Memory)
	s.serve()
	return nil
}

// idleTime is after which a worker without work ends.
const idleTime = time.Minute

// A server is the other end of a worker.
type server struct {
	charts   map[string]*chart.Chart // by key
	exit     func(int)
	messages chan toWorker

	mu  sync.Mutex
	out *gob.Encoder // guarded by mu
}

// read hands on what comes in. It ends the process with it, also in the middle of
// rendering: whoever asked is gone.
func (s *server) read(in *gob.Decoder) {
	for {
		var m toWorker
		if err := in.Decode(&m); err != nil {
			s.exit(statusIdle)
			return
		}
		s.messages <- m
	}
}

func (s *server) serve() {
	idle := time.NewTimer(idleTime)
	for {
		select {
		case <-idle.C:
			return
		case m := <-s.messages:
			idle.Stop()
			if m.Request != nil {
				s.send(fromWorker{Done: s.do(*m.Request)})
			}
			idle.Reset(idleTime)
		}
	}
}

// do renders one chart.
func (s *server) do(r request) *done {
	if r.Forget {
		clear(s.charts)
	}
	if r.Chart != nil {
		c, err := r.Chart.chart()
		if err != nil {
			return &done{Err: err.Error()}
		}
		s.charts[r.Key] = c
	}
	// Which template is rendered is said before: it may be the end of this process.
	files, err := render(r, s.charts[r.Key], s.ask, func(template string) { s.send(fromWorker{Template: template}) })
	var over *overError
	switch {
	case errors.As(err, &over):
		return &done{Over: over.bound, Of: over.template}
	case err != nil:
		return &done{Err: err.Error()}
	case r.Check:
		files = nil
	}
	return &done{Files: files}
}

// ask has the other process look something up.
func (s *server) ask(q query) (map[string]any, error) {
	s.send(fromWorker{Query: &q})
	m := <-s.messages
	if m.Found == nil {
		return nil, errors.New("lookup: no answer")
	}
	if m.Found.Err != "" {
		return nil, errors.New(m.Found.Err)
	}
	object, _ := unpack(m.Found.Object).(map[string]any)
	return object, nil
}

// send says something to the other process. If that is gone, read ends this one.
func (s *server) send(m fromWorker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(m)
}

// Write tells what Helm logs.
func (s *server) Write(line []byte) (int, error) {
	s.send(fromWorker{Log: strings.TrimRight(string(line), "\n")})
	return len(line), nil
}

// watch ends the process when it uses too much memory.
func (s *server) watch(memory int64) {
	used := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for range time.Tick(10 * time.Millisecond) {
		metrics.Read(used)
		if int64(used[0].Value.Uint64()-used[1].Value.Uint64()) <= memory {
			continue
		}
		goruntime.GC() // what is garbage counts for nothing
		metrics.Read(used)
		if int64(used[0].Value.Uint64()-used[1].Value.Uint64()) > memory {
			s.exit(statusMemory)
			return
		}
	}
}
