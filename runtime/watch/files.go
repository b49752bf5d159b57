package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// FileOptions say how files are watched. The zero value works.
type FileOptions struct {
	// Poll is how often what cannot be watched is looked at; default 500 ms. Looking
	// takes a fifth of the time at most: where it takes long, it is less often.
	Poll time.Duration
	// Notice is called when something cannot be watched and is polled instead; nil:
	// nobody is told. It must not call a method of Files.
	Notice func(Notice)

	open   func(*ear) (source, error) // default: that of the system
	mounts func() []Mount
}

// A Change is what changed of the inputs that are watched.
type Change struct {
	// Paths are those whose content changed, that came or went: sorted,
	// slash-separated, below the workspace. What an input has through a symbolic link
	// is there by both names, its own and that below the input; a link that leads
	// elsewhere is one itself. Directories are among them where they are content: in
	// build contexts.
	Paths []string
	// Inputs are those that the paths belong to, sorted. A glob is one of them if
	// other files match, a context if what is sent to the builder is another.
	Inputs []plan.Input
	// Head is whether HEAD of the repository moved while the files were changed, as
	// in a checkout, a rebase or a pull. A commit that changes no file is not told.
	Head        bool
	First, Last time.Time // of the writes
}

// ErrClosed says that Files were closed.
var ErrClosed = errors.New("files are no longer watched")

// Files watches the inputs of plans. Its methods can be called concurrently.
//
// Directories are watched, not files, and content decides: files are compared
// with what they were by size, times, inode and digest, so that neither "touch"
// nor a save that changes nothing is a change.
//
// What belongs to git, below a directory .git, is not watched unless it is an
// input itself. Files that editors make while they have another open, such as
// swap files, are never reported. Those that are made while a file is saved are
// reported if they are left alone for two seconds: then they are content like
// others, and are in the images that are built. Both are told by their names and
// what proves them; an input that is named by its path is always reported.
type Files struct {
	tree *tree
	opts FileOptions
	repo *repository

	calls   chan func()
	changes chan Change
	stop    chan struct{}
	once    sync.Once
	wait    sync.WaitGroup

	// What follows belongs to the goroutine of loop.
	ear    *ear
	src    source
	srcErr error // why there is none

	reopened time.Time
	table    []Mount
	inputs   map[inputKey]*input
	named    []plan.Input // as they were set
	given    []plan.Input // each once
	builds   []plan.BuildSpec
	ignores  map[string]ignoreFile
	gather   gather
	held     map[string]heldName // by path
	out      *Change             // to be taken
	head     head
	limits   map[string]bool // what was told of
	polled   int             // directories
	untold   []Notice
	summing  bool
	sums     chan []summed
}

// OpenFiles begins to watch below root, the workspace. Nothing is watched until
// [Files.Set] names the inputs. The error says that root is not a directory; what
// cannot be watched is polled.
func OpenFiles(root string, opts FileOptions) (*Files, error) {
	f, err := newFiles(root, opts)
	if err != nil {
		return nil, err
	}
	f.wait.Go(f.loop)
	return f, nil
}

func newFiles(root string, opts FileOptions) (*Files, error) {
	abs, err := filepath.Abs(root)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", root, err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("watch %s: it is not a directory", root)
	}
	if opts.Poll <= 0 {
		opts.Poll = 500 * time.Millisecond
	}
	if opts.open == nil {
		opts.open = openNotifier
	}
	if opts.mounts == nil {
		opts.mounts = mounts
	}
	f := &Files{
		tree: newTree(abs), opts: opts, repo: findRepository(abs), ear: newEar(),
		calls: make(chan func()), changes: make(chan Change), stop: make(chan struct{}), sums: make(chan []summed),
		inputs: map[inputKey]*input{}, ignores: map[string]ignoreFile{}, held: map[string]heldName{}, limits: map[string]bool{},
	}
	f.gather = newGather()
	f.tree.watch, f.tree.unwatch = f.watch, f.unwatch
	f.head = f.repo.head()
	return f, nil
}

// Set replaces what is watched by the inputs of a plan, or of an evaluation that
// failed, or of both together: where an input is named twice, the later one
// counts. Builds are those whose contexts are among the inputs: their
// .dockerignore files say what of the contexts is watched. What changed since an
// input was read, as its digest tells, is reported as a change. Watches that stay
// are not touched.
func (f *Files) Set(inputs []plan.Input, builds []plan.BuildSpec) error {
	return f.SetSince(inputs, builds, time.Time{})
}

// SetSince is Set for inputs that somebody has read since that time, while they were
// not watched yet: what has changed since then in build contexts, which have no digest,
// is reported as a change, too. Of what was deleted it is the directory.
func (f *Files) SetSince(inputs []plan.Input, builds []plan.BuildSpec, since time.Time) error {
	done := make(chan struct{})
	select {
	case f.calls <- func() { f.set(inputs, builds, since); close(done) }:
		<-done
		return nil
	case <-f.stop:
		return ErrClosed
	}
}

// Changes returns the channel of what changed: one change at a time. While nobody
// takes it, what else changes becomes part of it. It is closed by [Files.Close].
func (f *Files) Changes() <-chan Change { return f.changes }

// Close ends watching.
func (f *Files) Close() error {
	f.once.Do(func() { close(f.stop) })
	f.wait.Wait()
	return nil
}

// loop owns the state.
func (f *Files) loop() {
	defer close(f.changes)
	f.src, f.srcErr = f.opts.open(f.ear)
	defer func() {
		if f.src != nil {
			_ = f.src.close() // nothing depends on it any more
		}
	}()
	timer, poll := time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	defer timer.Stop()
	defer poll.Stop()
	polling := false
	for {
		var out chan Change
		var next Change
		if f.out != nil {
			out, next = f.changes, *f.out
		}
		if d, ok := f.due(); ok {
			timer.Reset(max(0, time.Until(d)))
		} else {
			timer.Stop()
		}
		if is := f.polls(); is != polling {
			if polling = is; is {
				poll.Reset(f.opts.Poll)
			}
		}
		f.sumSome()
		f.tellAll()
		select {
		case <-f.stop:
			return
		case call := <-f.calls:
			f.listen()
			call()
		case <-f.ear.wake:
			f.listen()
		case <-timer.C:
			f.listen()
			f.settle()
		case <-poll.C:
			if began := time.Now(); polling {
				f.poll(began)
				poll.Reset(max(f.opts.Poll, 4*time.Since(began)))
			}
		case s := <-f.sums:
			f.summed(s)
		case out <- next:
			f.out = nil
		}
	}
}

// watch begins to watch a directory.
func (f *Files) watch(n *node) {
	abs := f.tree.abs(n.path)
	m := mountOf(f.table, abs)
	if n.silent = m.Silent(); n.silent {
		n.how = polled
		f.polled++
		f.tell(Notice{Reason: SilentFileSystem, Path: n.path, Mount: m})
		return
	}
	err := f.srcErr
	if f.src != nil {
		err = f.src.add(abs)
	}
	switch {
	case err == nil:
		n.how = notified
	case errors.Is(err, os.ErrNotExist) && n.path != ".": // its parent tells
	default:
		n.how = polled
		f.polled++
		if !errors.Is(err, os.ErrNotExist) {
			f.tell(noticeOf(n.path, err))
		}
	}
}

func (f *Files) unwatch(n *node) {
	if n.how == polled {
		f.polled--
	}
	if n.how == notified && f.src != nil {
		f.src.remove(f.tree.abs(n.path))
	}
}

// tell has something told of that is polled, each once.
func (f *Files) tell(n Notice) {
	key := string(n.Reason) + n.Mount.Path + n.Limit.Name
	if !f.limits[key] {
		f.limits[key] = true
		f.untold = append(f.untold, n)
	}
}

// tellAll tells what is to be told, when it is known how much there is.
func (f *Files) tellAll() {
	for _, n := range f.untold {
		n.Directories = f.polled
		for _, l := range limits("/proc", len(f.tree.nodes)) {
			if n.Limit.Name == l.Name {
				n.Limit = l
			}
		}
		if f.opts.Notice != nil {
			f.opts.Notice(n)
		}
	}
	f.untold = nil
}

// reopen replaces a source that has failed. If that happens again soon, all is
// polled.
func (f *Files) reopen(why error) {
	if f.src != nil {
		_ = f.src.close() // it has failed
		f.src = nil
	}
	if now := time.Now(); now.Sub(f.reopened) < time.Minute {
		f.srcErr = why
	} else {
		f.reopened = now
		f.src, f.srcErr = f.opts.open(f.ear)
	}
	for _, n := range f.tree.nodes {
		n.how = unwatched
	}
	f.polled = 0
}
