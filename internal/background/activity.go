package background

import (
	"context"
	"slices"
	"sync"
	"time"
)

// An Activity counts users of a process that are not attached to it, such
// as open connections or requests. While there are any, the process is not idle.
type Activity struct {
	mu    sync.Mutex
	users int       // current users
	last  time.Time // the end of the last use, or the start of the process
	notes []string  // see Note
}

// Note records a message for the caller that starts the process, for example about
// damage that was repaired. It must be called before the process is ready.
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

// quiet returns how long there has been no user.
func (a *Activity) quiet() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users > 0 {
		a.last = time.Now()
	}
	return time.Since(a.last)
}

// idle returns true when the process has not been used for d, or false when ctx
// is done. It checks eight times in d, so it may take an eighth longer.
// attached reports whether any caller is attached; claim prevents new callers from
// attaching, or reports that one was faster. looked is called at each check.
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
