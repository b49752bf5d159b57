package render

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/chart"
)

// Main is the main function of a worker: it renders the requests on stdin, until that
// ends. It needs the process for itself, and calls exit where it cannot return.
func Main(stdin io.Reader, stdout io.Writer, exit func(status int)) error {
	register()
	s := &server{out: gob.NewEncoder(stdout), charts: make(map[string]*chart.Chart), exit: exit, messages: make(chan toWorker)}
	in := gob.NewDecoder(bufio.NewReader(stdin))
	var first toWorker
	if err := in.Decode(&first); err != nil || first.Settings == nil {
		return errors.New("this command renders charts for pipe and cannot be run by hand")
	}
	if err := confine(first.Settings.Memory); err != nil {
		return fmt.Errorf("limit the memory of this process: %w", err)
	}
	http.DefaultTransport = offline{} // kustomize fetches what it takes for a URL
	log.SetFlags(0)
	log.SetOutput(s)
	go s.read(in)
	go s.watch(first.Settings.Memory)
	s.serve()
	return nil
}

// idleTime is how long a worker stays idle before it ends.
const idleTime = time.Minute

// A server is the part of a worker that runs in its process.
type server struct {
	charts   map[string]*chart.Chart // by key
	exit     func(int)
	messages chan toWorker

	mu  sync.Mutex
	out *gob.Encoder // guarded by mu
}

// read passes on incoming messages. When the input ends, it ends the process, even while
// rendering, because the other process is gone.
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
	// Each template is reported before it is rendered, because rendering may end this process.
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

// ask makes the other process perform a lookup.
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

// send sends a message to the other process. If that is gone, read ends this one.
func (s *server) send(m fromWorker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(m)
}

// Write forwards Helm's log.
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
		debug.FreeOSMemory() // neither garbage nor free memory of the heap counts
		metrics.Read(used)
		if int64(used[0].Value.Uint64()-used[1].Value.Uint64()) > memory {
			s.exit(statusMemory)
			return
		}
	}
}
