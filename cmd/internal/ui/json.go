package ui

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

// jsonView writes an event a line. What the command itself says becomes a log
// event of the source "pipe" with the sequence number 0: it is of no run.
type jsonView struct {
	now func() time.Time

	mu  sync.Mutex
	out io.Writer // guarded by mu, so that lines stay whole
}

func newJSON(opts Options) *jsonView { return &jsonView{now: opts.Now, out: opts.Out} }

func (v *jsonView) Event(e runtime.Event) {
	line, err := json.Marshal(e)
	if err != nil { // a type that does not marshal is a bug that a test of events finds
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = v.out.Write(append(EscapeJSON(line), '\n'))
}

func (v *jsonView) Note(text string) {
	v.Event(runtime.Event{Time: v.now(), Body: runtime.Log{Source: "pipe", Text: text}})
}

func (v *jsonView) Doing(what string) {
	if what != "" {
		v.Note(what)
	}
}

func (v *jsonView) Close() {}
