package background

import (
	"context"
	"slices"
	"sync"
	"time"
)

// An Activity counts those who use a process without being attached to it, such
// as open connections or requests. While there is one, the process is not idle.
type Activity struct {
	mu    sync.Mutex
	users int       // who began and have not ended
	last  time.Time // when there was one, or the process began
	notes []string  // see Note
}

// Note keeps a line for whoever starts the process: such as that something was
// damaged, and was made good. It is called before the process is ready.
func (a *Activity) Note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes = append(a.notes, text)
}

func (a *Activity) noted() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.notes)
}

// Begin counts one user until end is called; calling it again does nothing.
func (a *Activity) Begin() (end func()) {
	a.add(1)
	return sync.OnceFunc(func() { a.add(-1) })
}

func (a *Activity) add(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users += n
	a.last = time.Now()
}

// quiet says since when there has been no user.
func (a *Activity) quiet() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users > 0 {
		a.last = time.Now()
	}
	return time.Since(a.last)
}

// idle returns when nobody has used the process for d, with true, or when ctx
// is done. It looks eight times in d, so that it may take an eighth longer.
// attached says whether anybody is attached; claim makes the end of it certain,
// or says that somebody was faster. looked is called at each look.
func idle(ctx context.Context, a *Activity, d time.Duration, attached, claim func() bool, looked func()) bool {
	tick := time.NewTicker(max(d/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		looked()
		if attached() {
			a.add(0)
		} else if a.quiet() >= d && claim() {
			return true
		}
	}
}
