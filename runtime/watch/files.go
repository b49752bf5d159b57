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

// FileOptions configure how files are watched. The zero value works.
type FileOptions struct {
	// Poll is the interval at which directories that cannot be watched are polled;
	// default 500 ms. If polling is slow, the interval is longer, so that polling takes
	// at most a fifth of the time.
	Poll time.Duration
	// Notice is called when a directory cannot be watched and is polled instead; nil:
	// not reported. It must not call a method of Files.
	Notice func(Notice)

	open   func(*ear) (source, error) // default: openNotifier
	mounts func() []Mount
}

// A Change describes changes of the watched inputs.
type Change struct {
	// Paths are the paths that were changed, created or deleted: sorted,
	// slash-separated, relative to the workspace. A file that an input reaches through a
	// symbolic link is listed by both names, its own and that below the input; a link
	// whose target changes is listed itself. Directories are listed where they are
	// content: in build contexts.
	Paths []string
	// Inputs are the inputs that the paths belong to, sorted. A glob is listed if the
	// set of matching files changes, a context if the files sent to the builder change.
	Inputs []plan.Input
	// Head reports whether HEAD of the repository moved while the files changed, as
	// in a checkout, a rebase or a pull. A commit that changes no file is not reported.
	Head        bool
	First, Last time.Time // of the writes
}

// ErrClosed means that Files were closed.
var ErrClosed = errors.New("files are no longer watched")

// Files watches the inputs of plans. Its methods may be called concurrently.
//
// It watches directories, not files, and compares content: files are compared
// with their previous state by size, times, inode and digest, so that neither "touch"
// nor a save without changes is a change.
//
// Files of git, below a directory .git, are not watched unless they are
// inputs themselves. Files that editors create while another file is open, such as
// swap files, are never reported. Files that are created while a file is saved are
// reported if they are unchanged for two seconds: then they are ordinary content
// and are part of the images that are built. Both kinds are recognized by name and
// content; an input that is named by its path is always reported.
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
	srcErr error // why there is no source

	reopened   time.Time
	table      []Mount
	inputs     map[inputKey]*input
	named      []plan.Input // as they were set
	given      []plan.Input // without duplicates
	builds     []plan.BuildSpec
	ignores    map[string]ignoreFile
	gather     gather
	held       map[string]heldName // by path
	out        *Change             // to be taken
	head       head
	limits     map[string]bool // limits that were reported
	polled     int             // directories
	unreported []Notice
	summing    bool
	sums       chan []summed
}

// OpenFiles starts to watch below root, the workspace. Nothing is watched until
// [Files.Set] sets the inputs. It is an error if root is not a directory;
// directories that cannot be watched are polled.
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

// Set sets the inputs to watch: those of a plan, of a failed evaluation,
// or of both together. If an input is listed twice, the later one takes
// precedence. Builds are those whose contexts are among the inputs: their
// .dockerignore files decide which files of the contexts are watched. If the digest of
// an input shows that it has changed since it was read, that is reported as a change.
// Watches that are still needed are kept.
func (f *Files) Set(inputs []plan.Input, builds []plan.BuildSpec) error {
	return f.SetSince(inputs, builds, time.Time{})
}

// SetSince is Set for inputs that were read after since, while they were
// not watched yet: changes since then in build contexts, which have no digest,
// are reported as a change, too. For a deleted file, its directory is reported.
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

// Changes returns the channel of changes. Until a change is received, later changes
// are merged into it. The channel is closed by [Files.Close].
func (f *Files) Changes() <-chan Change { return f.changes }

// Close stops watching.
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
			_ = f.src.close() // nothing depends on it
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
		f.reportAll()
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

// watch starts to watch a directory.
func (f *Files) watch(n *node) {
	abs := f.tree.abs(n.path)
	m := mountOf(f.table, abs)
	if n.silent = m.Silent(); n.silent {
		n.how = polled
		f.polled++
		f.report(Notice{Reason: SilentFileSystem, Path: n.path, Mount: m})
		return
	}
	err := f.srcErr
	if f.src != nil {
		err = f.src.add(abs)
	}
	switch {
	case err == nil:
		n.how = notified
	case errors.Is(err, os.ErrNotExist) && n.path != ".": // its parent reports that
	default:
		n.how = polled
		f.polled++
		if !errors.Is(err, os.ErrNotExist) {
			f.report(noticeOf(n.path, err))
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

// report queues a notice about something that is polled, once for each.
func (f *Files) report(n Notice) {
	key := string(n.Reason) + n.Mount.Path + n.Limit.Name
	if !f.limits[key] {
		f.limits[key] = true
		f.unreported = append(f.unreported, n)
	}
}

// reportAll delivers the queued notices, when the number of polled directories is known.
func (f *Files) reportAll() {
	for _, n := range f.unreported {
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
	f.unreported = nil
}

// reopen replaces a source that has failed. If it fails again soon, everything is
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
