package watch

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A source reports events of directories that were added to it. Its directories
// are absolute.
type source interface {
	add(dir string) error
	remove(dir string)
	close() error
}

// An op is a kind of event of a path.
type op uint8

const (
	opWrite  op = 1 << iota // its content changed
	opCreate                // it was created, or is the target of a rename
	opGone                  // it was deleted, or is the source of a rename
	opMeta                  // its mode or times changed
)

// notifier is the source of the operating system.
type notifier struct {
	watcher *fsnotify.Watcher
	wait    sync.WaitGroup
}

// openNotifier returns a source whose events are passed to e.
func openNotifier(e *ear) (source, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	n := &notifier{watcher: w}
	n.wait.Go(func() {
		for {
			select {
			case ev, ok := <-w.Events:
				if !ok {
					return
				}
				e.hear(ev.Name, opOf(ev.Op))
			case err, ok := <-w.Errors:
				switch {
				case !ok:
					return
				case errors.Is(err, fsnotify.ErrEventOverflow):
					e.lose(nil)
				case errors.Is(err, syscall.EINVAL): // it removed a watch that had already ended: nothing is lost
				case err != nil:
					e.lose(err)
				}
			}
		}
	})
	return n, nil
}

func opOf(o fsnotify.Op) (out op) {
	if o.Has(fsnotify.Write) {
		out |= opWrite
	}
	if o.Has(fsnotify.Create) {
		out |= opCreate
	}
	if o.Has(fsnotify.Remove) || o.Has(fsnotify.Rename) {
		out |= opGone
	}
	if o.Has(fsnotify.Chmod) {
		out |= opMeta
	}
	return out
}

func (n *notifier) add(dir string) error { return n.watcher.Add(dir) }

// remove removes the watch of a directory, which may have ended by itself.
func (n *notifier) remove(dir string) { _ = n.watcher.Remove(dir) }

func (n *notifier) close() error {
	err := n.watcher.Close()
	n.wait.Wait()
	return err
}

// An ear merges events until they are taken, so that the source never waits: its
// queue in the operating system is small, and examining files takes time.
type ear struct {
	wake chan struct{} // has an element when events are available

	mu     sync.Mutex // guards what follows
	events map[string]heard
	lost   bool  // events were lost: everything must be examined
	err    error // why, if the source has failed
}

// heard is the merged events of one path.
type heard struct {
	op          op
	gone        bool // the last event was opGone
	first, last time.Time
}

func newEar() *ear {
	return &ear{wake: make(chan struct{}, 1), events: map[string]heard{}}
}

// maxHeard is the maximum number of paths that are remembered. More are treated as an overflow.
const maxHeard = 100_000

func (e *ear) hear(path string, o op) {
	if path == "" || o == 0 {
		return
	}
	path, now := filepath.Clean(path), time.Now()
	e.mu.Lock()
	h, ok := e.events[path]
	if !ok {
		h.first = now
	}
	h.op |= o
	if o&^opMeta != 0 {
		h.gone = o&opGone != 0
	}
	h.last = now
	if e.events[path] = h; len(e.events) > maxHeard {
		clear(e.events)
		e.lost = true
	}
	e.mu.Unlock()
	e.call()
}

// lose records that events were lost, and why.
func (e *ear) lose(err error) {
	e.mu.Lock()
	e.lost = true
	if e.err == nil {
		e.err = err
	}
	e.mu.Unlock()
	e.call()
}

func (e *ear) call() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// take returns the events since the last call.
func (e *ear) take() (events map[string]heard, lost bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	events, lost, err = e.events, e.lost, e.err
	e.events, e.lost, e.err = map[string]heard{}, false, nil
	return events, lost, err
}
