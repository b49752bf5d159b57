package ui

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime"
)

// jsonView writes one event per line. A note of the command itself becomes a log event of
// the source "pipe" with the sequence number 0, because it belongs to no run.
type jsonView struct {
	now func() time.Time

	mu  sync.Mutex
	out io.Writer // guarded by mu, so that lines are not interleaved
}

func newJSON(opts Options) *jsonView { return &jsonView{now: opts.Now, out: opts.Out} }

func (v *jsonView) Event(e runtime.Event) {
	line, err := json.Marshal(e)
	if err != nil { // a type that cannot be marshalled is a bug, which a test of events finds
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
