package runtime

import (
	"slices"
	"sync"
	"time"
)

// An ahead measures for how long images were made before their stage began (A2). A nil one
// measures nothing.
type ahead struct {
	mu    sync.Mutex
	began map[*stage]time.Time
	spans map[*stage][]span
}

// A span is the time in which one image was made.
type span struct{ start, end time.Time }

// making measures one image of a stage, until done is called.
func (a *ahead) making(st *stage) (done func()) {
	if a == nil {
		return func() {}
	}
	start := time.Now()
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.spans == nil {
			a.spans = make(map[*stage][]span)
		}
		a.spans[st] = append(a.spans[st], span{start, time.Now()})
	}
}

// begin records that the stages before st are complete.
func (a *ahead) begin(st *stage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began == nil {
		a.began = make(map[*stage]time.Time)
	}
	a.began[st] = time.Now()
}

// total returns, for all stages together, the time before the stage began in which at least
// one of its images was made. Images that are made concurrently count once, as they would
// have been made concurrently in the stage. Stages that did not begin do not count.
func (a *ahead) total() (total time.Duration) {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for st, began := range a.began {
		spans := slices.SortedFunc(slices.Values(a.spans[st]), func(x, y span) int { return x.start.Compare(y.start) })
		var until time.Time // what was counted ends there
		for _, s := range spans {
			if s.end.After(began) {
				s.end = began
			}
			if s.start.Before(until) {
				s.start = until
			}
			if s.end.After(s.start) {
				total += s.end.Sub(s.start)
				until = s.end
			}
		}
	}
	return total
}
