package runtime

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// silence is how long look may take before it reports what it waits for.
const silence = 3 * time.Second

// A watcher tracks which of a set of tasks are running.
type watcher struct {
	mu    sync.Mutex
	names []string // of the running tasks
	ended bool
}

// watch wraps the tasks so that they report their start and end to a watcher.
func watch(tasks []*sched.Task) *watcher {
	w := &watcher{}
	for _, t := range tasks {
		do := t.Do
		t.Do = func(ctx context.Context) error {
			w.mu.Lock()
			w.names = append(w.names, t.Name)
			w.mu.Unlock()
			defer func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				i := slices.Index(w.names, t.Name)
				w.names = slices.Delete(w.names, i, i+1)
			}()
			return do(ctx)
		}
	}
	return w
}

// report reports the running tasks, unless end was called.
func (w *watcher) report(t *tracker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended && len(w.names) > 0 {
		t.events.Send("", "", WaitingFor{some(w.names, 3)})
	}
}

// end prevents further reports.
func (w *watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}
