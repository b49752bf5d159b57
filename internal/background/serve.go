package background

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"
)

// Options configure Serve.
type Options struct {
	Name    string        // as in [Process]
	Dir     string        // as in [Process]
	Version string        // as in [Process]
	Idle    time.Duration // how long it may be idle before it ends; default 30 minutes, negative: it never ends
	Start   time.Duration // how long it may take to become ready before it ends with an error; default 2 minutes
}

// ErrRunning means that a process with the name is already running.
var ErrRunning = errors.New("already running")

// Reasons for the end of a process, as causes of the context of run.
var (
	errIdle     = errors.New("nobody used it")
	errStopped  = errors.New("asked to end")
	errNotReady = errors.New("not ready in time")
)

// Serve runs the background process: it acquires the lock, calls
// run, and returns when that has returned. run must call ready with the address
// at which it can be used, and must return soon after its context is done, after
// finishing work that others wait for. The context is done when the process is asked to
// end (by [Process.Stop], SIGTERM or SIGINT), when ctx is done, and when the process has
// been idle. In these cases Serve returns nil unless run returns its own
// error. If another process with the name is alive, the error is ErrRunning.
func Serve(ctx context.Context, o Options, run func(ctx context.Context, ready func(addr string) error, activity *Activity) error) error {
	f := files{o.Dir, o.Name}
	if err := f.prepare(); err != nil {
		return fmt.Errorf("background %s: %w", o.Name, err)
	}
	life, err := lockSoon(ctx, f.lock())
	if errors.Is(err, errHeld) {
		err = ErrRunning
		if r, _ := read(f.lock()); r != nil {
			err = fmt.Errorf("%w as process %d", ErrRunning, r.PID)
		}
	}
	if err != nil {
		return fmt.Errorf("background %s: %w", o.Name, err)
	}
	defer life.unlock()
	me := record{PID: os.Getpid(), Version: o.Version}
	if err := me.write(life.file); err != nil {
		return fmt.Errorf("background %s: %w", o.Name, err)
	}
	if err := live(ctx, o, f, me, life, run); err != nil {
		// The caller that started it reads the error. If writing it fails, it is in the log.
		me.Error = err.Error()
		_ = me.write(life.file)
		return fmt.Errorf("background %s: %w", o.Name, err)
	}
	return nil
}

// live calls run and manages its start and end, while the lock is held.
func live(ctx context.Context, o Options, f files, me record, life *lock, run func(context.Context, func(string) error, *Activity) error) error {

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ends...)
	defer signal.Stop(signals)

	s := &server{files: f, record: me}
	activity := &Activity{last: time.Now()}
	ready := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-signals:
			signal.Stop(signals) // a second one ends the process immediately
			cancel(errStopped)
		case <-ctx.Done():
		}
	})
	wait.Go(func() {
		start := cmp.Or(o.Start, 2*time.Minute)
		select {
		case <-time.After(start):
			cancel(fmt.Errorf("%w: %v", errNotReady, start))
		case <-ready:
		case <-ctx.Done():
		}
	})
	wait.Go(func() {
		s.idle(ctx, cmp.Or(o.Idle, 30*time.Minute), activity)
		cancel(errIdle) // without effect if ctx is done for another reason
	})
	wait.Go(func() {
		<-ctx.Done()
		s.unpublish() // immediately, so that no caller starts to use a process that is ending
	})
	wait.Go(func() {
		tick := time.NewTicker(mendEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
				s.mend(me, life)
			}
		}
	})
	once := sync.OnceFunc(func() { close(ready) })
	err := run(ctx, func(addr string) error {
		once()
		return s.publish(ctx, addr, activity.noted())
	}, activity)
	ended := context.Cause(ctx)
	cancel(nil)
	wait.Wait()
	s.use.unlock()
	switch {
	case errors.Is(ended, errNotReady):
		err = ended
	case ended == nil && err == nil:
		err = errors.New("ended without being asked to")
	case ended != nil && (errors.Is(err, ended) || errors.Is(err, context.Canceled)):
		err = nil // it only reports that it was asked to end
	}
	return err
}

// A server is what the process has to do with its files while run works.
type server struct {
	files  files
	record record
	use    *lock // all of NAME.use, once it ends for idleness

	mu        sync.Mutex
	published *lock // guarded by mu
	ended     bool  // guarded by mu; nothing is published any more
}

// publish says that the process can be used at addr.
func (s *server) publish(ctx context.Context, addr string, notes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return context.Cause(ctx)
	}
	if s.published != nil {
		return fmt.Errorf("ready at %s was said already", s.record.Addr)
	}
	s.record.Addr, s.record.Notes = addr, notes
	file, err := open(s.files.addr(), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	err = s.record.write(file) // before it is locked: see the package comment
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	s.published, err = lockSoon(ctx, s.files.addr())
	return err
}

// mendEvery is how often a process looks whether its files still say what it wrote.
// Whoever needs them waits so long.
const mendEvery = time.Second

// mend writes again what the process has written about itself, if somebody, or a
// full disk, has damaged it.
func (s *server) mend(me record, life *lock) {
	whole := func(path string) bool {
		r, err := parse(path)
		return err == nil && r != nil && r.PID == me.PID
	}
	// What cannot be written is tried again with the next look.
	if !whole(s.files.lock()) {
		_ = me.write(life.file)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.published != nil && !s.ended && !whole(s.files.addr()) {
		_ = s.record.write(s.published.file)
	}
}

// unpublish takes back what publish said, for good.
func (s *server) unpublish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.published != nil {
		os.Remove(s.files.addr())
		s.published.unlock()
	}
}

// idle returns when nobody has used the process for d, or ctx is done. With a
// negative d it only looks after the log.
func (s *server) idle(ctx context.Context, d time.Duration, a *Activity) {
	attached := func() bool {
		used, err := s.claim()
		used.unlock()
		return used == nil || err != nil
	}
	claim := func() bool {
		var err error
		s.use, err = s.claim()
		return s.use != nil && err == nil
	}
	if d < 0 { // as if somebody were always attached
		d, attached = time.Hour, func() bool { return true }
	}
	looked := func() {
		// A log that cannot be rotated grows; only the log could report it.
		_ = rotate(s.files.log())
	}
	idle(ctx, a, d, attached, claim, looked)
}

// claim takes all of NAME.use, or nil if somebody is attached. Nobody can
// attach while it is held.
func (s *server) claim() (*lock, error) {
	return tryLock(s.files.use(), exclusive)
}
