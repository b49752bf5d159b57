package watch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/content"
	"github.com/pipelinefile/pipe/runtime/internal/dockerignore"
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

// How long gathering waits (SPEC W2).
const (
	restSingle = 50 * time.Millisecond  // after one file was replaced or written
	restBurst  = 200 * time.Millisecond // after several, or one that is written again and again
	restMost   = 2 * time.Second        // then it ends even if writing goes on
)

// A Change is what changed of the inputs that are watched.
type Change struct {
	// Paths are those whose content changed, that came or went: sorted,
	// slash-separated, below the workspace. They are the files' own, without the
	// symbolic links that lead to them; a link that leads elsewhere is one itself.
	// Directories are among them where they are content: in build contexts.
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
	ear     *ear
	src     source
	srcErr  error // why there is none
	table   []Mount
	inputs  map[inputKey]*input
	given   []plan.Input
	builds  []plan.BuildSpec
	ignores map[string]ignoreFile
	gather  gather
	held    map[string]time.Time // paths with temporary names, and when they were last written
	out     *Change              // to be taken
	head    head
	limits  map[string]bool // what was told of
	polled  int             // directories
	summing bool
	sums    chan []summed
}

// An ignoreFile is what a .dockerignore has.
type ignoreFile struct {
	digest   plan.Digest // empty: it is not there
	patterns []string
}

// A gather is what was heard and not looked at yet.
type gather struct {
	dirty       map[string]*dirty // by directory
	all         bool              // everything is to be looked at
	burst       bool
	first, last time.Time
}

// A dirty directory has names that are to be looked at.
type dirty struct {
	all   bool
	names map[string]op
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
		inputs: map[inputKey]*input{}, ignores: map[string]ignoreFile{}, held: map[string]time.Time{}, limits: map[string]bool{},
	}
	f.gather.dirty = map[string]*dirty{}
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
	done := make(chan struct{})
	select {
	case f.calls <- func() { f.set(inputs, builds); close(done) }:
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
	f.openSource()
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
				f.poll()
				poll.Reset(max(f.opts.Poll, 4*time.Since(began)))
			}
		case s := <-f.sums:
			f.summed(s)
		case out <- next:
			f.out = nil
		}
	}
}

// openSource opens the source, or has everything polled.
func (f *Files) openSource() {
	f.src, f.srcErr = f.opts.open(f.ear)
}

// watch begins to watch a directory.
func (f *Files) watch(n *node) {
	abs := f.tree.abs(n.path)
	if m := mountOf(f.table, abs); m.Silent() {
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
	case errors.Is(err, os.ErrNotExist): // its parent tells
	default:
		n.how = polled
		f.polled++
		f.tell(noticeOf(n.path, err, len(f.tree.nodes)))
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

// tell tells of something that is polled, once.
func (f *Files) tell(n Notice) {
	key := string(n.Reason) + n.Mount.Path + n.Limit.Name
	if f.limits[key] {
		return
	}
	f.limits[key] = true
	if f.opts.Notice != nil {
		f.opts.Notice(n)
	}
}

func (f *Files) set(inputs []plan.Input, builds []plan.BuildSpec) {
	f.table = f.opts.mounts()
	last := map[inputKey]plan.Input{}
	for _, in := range inputs {
		last[keyOf(in)] = in
	}
	maps.DeleteFunc(f.inputs, func(k inputKey, _ *input) bool { _, ok := last[k]; return !ok })
	f.given, f.builds = sortedInputs(last), builds
	for k, in := range last {
		was := f.inputs[k]
		switch {
		case was == nil:
			f.inputs[k] = &input{Input: in, given: in.Digest, told: in.Digest}
		case was.given != in.Digest:
			was.Input, was.given, was.told = in, in.Digest, in.Digest
		}
	}
	f.replan()
	for _, w := range f.tree.wants {
		if w.kind == wantContext || w.kind == wantIgnore {
			continue
		}
		cur := f.tree.digestOf(w)
		if slices.ContainsFunc(w.inputs, func(in *input) bool { return in.told != cur }) {
			f.suspect(w)
		}
	}
	f.begin()
}

// suspect has w looked at, as it is not what an evaluation read.
func (f *Files) suspect(w *want) {
	f.tree.touch(w, "")
	now := time.Now()
	if len(w.hops) > 0 {
		h := w.hops[len(w.hops)-1]
		f.dirty(h.dir, h.name, 0, now, now)
	} else {
		f.heardAll(now)
	}
}

// begin has what an examination left to be looked at again gathered.
func (f *Files) begin() {
	now := time.Now()
	for dir, names := range f.tree.moving {
		for name := range names {
			f.dirty(dir, name, 0, now, now)
		}
	}
	clear(f.tree.moving)
	d := &f.tree.diff
	if len(d.direct)+len(d.touched)+len(d.stale) > 0 && f.gather.first.IsZero() {
		f.gather.first, f.gather.last = now, now
	}
}

// replan makes the wants of the inputs anew and applies them.
func (f *Files) replan() {
	inputs := make([]*input, 0, len(f.given))
	for _, in := range f.given {
		inputs = append(inputs, f.inputs[keyOf(in)])
	}
	wants := wanted(inputs, f.builds, f.patterns)
	changed := false
	for k, w := range wants {
		if was := f.tree.wants[k]; was != nil {
			was.inputs = w.inputs
			wants[k] = was
			continue
		}
		w.resolve(f.tree.root)
		changed = true
	}
	for k, w := range f.tree.wants {
		if wants[k] == nil {
			changed = true
			delete(f.tree.diff.touched, w)
			delete(f.tree.diff.stale, w)
		}
	}
	f.tree.wants = wants
	if changed {
		f.tree.rescope()
	}
}

// patterns returns what the first file of these names that exists leaves out of a
// context.
func (f *Files) patterns(names ...string) []string {
	for _, name := range names {
		ig, ok := f.ignores[name]
		if !ok {
			ig = f.readIgnore(name, nil)
			f.ignores[name] = ig
		}
		if ig.digest != "" {
			return ig.patterns
		}
	}
	return nil
}

// readIgnore reads a .dockerignore. One that is not valid leaves out what it left
// out before: nothing can be built until it is mended.
func (f *Files) readIgnore(name string, before []string) ignoreFile {
	w := &want{path: name}
	if w.resolve(f.tree.root); !w.found || w.dir {
		return ignoreFile{}
	}
	text, err := os.ReadFile(f.tree.abs(w.place))
	if err != nil {
		return ignoreFile{}
	}
	patterns, err := dockerignore.Parse(text)
	if err != nil {
		patterns = before
	}
	return ignoreFile{plan.DigestOf(text), patterns}
}

// dirty has a name in a directory looked at.
func (f *Files) dirty(dir, name string, o op, first, last time.Time) {
	g := &f.gather
	d := g.dirty[dir]
	if d == nil {
		d = &dirty{names: map[string]op{}}
		g.dirty[dir] = d
	}
	d.names[name] |= o
	f.heard(first, last)
}

// heard counts an event.
func (f *Files) heard(first, last time.Time) {
	g := &f.gather
	if g.first.IsZero() || first.Before(g.first) {
		g.first = first
	}
	if last.After(g.last) {
		g.last = last
	}
	if last.Sub(g.first) > restSingle {
		g.burst = true // it is written again and again
	}
}

// heardAll has everything looked at.
func (f *Files) heardAll(now time.Time) {
	f.gather.all, f.gather.burst = true, true
	f.heard(now, now)
}

// due returns when what was gathered is looked at.
func (f *Files) due() (time.Time, bool) {
	var at time.Time
	if g := &f.gather; !g.first.IsZero() {
		rest := restSingle
		names := 0
		for _, d := range g.dirty {
			if names += len(d.names); d.all {
				names += 2
			}
		}
		if g.burst || names > 1 {
			rest = restBurst
		}
		at = g.last.Add(rest)
		if most := g.first.Add(restMost); most.Before(at) {
			at = most
		}
	}
	for _, last := range f.held {
		if d := last.Add(left); at.IsZero() || d.Before(at) {
			at = d
		}
	}
	return at, !at.IsZero()
}

// listen takes what the source has told and gathers what matters of it.
func (f *Files) listen() {
	events, lost, err := f.ear.take()
	if err != nil {
		f.reopen()
	}
	if lost {
		f.heardAll(time.Now())
	}
	t := f.tree
	type arrived struct {
		n    *node
		name string
	}
	var dirs []arrived
	paths := slices.Sorted(maps.Keys(events))
	for _, abs := range paths {
		h := events[abs]
		rel, err := filepath.Rel(t.root, abs)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		p := filepath.ToSlash(rel)
		if p == "." {
			if h.op&^opMeta != 0 {
				f.heardAll(h.last)
			}
			continue
		}
		dir, name := path.Split(p)
		dir = path.Clean(dir)
		n := t.nodes[dir]
		if n == nil {
			continue
		}
		kid := n.kids[name]
		_, known := n.entries[name]
		anchored := t.anchors[dir][name] != nil
		isDir := false
		if h.op&opCreate != 0 && !h.gone {
			info, err := os.Lstat(abs)
			isDir = err == nil && info.IsDir()
		}
		switch {
		case kid != nil:
			if h.op&^opMeta == 0 && !kid.denied {
				continue // neither is a directory's mode content, nor are its times
			}
			if h.op&(opCreate|opGone) != 0 {
				t.dropAll(kid)
			}
		case anchored || known:
		case isDir && t.keeps(n, p):
		case !t.wantedIn(n, name, isDir):
			continue
		case h.gone: // it came and went
			f.undirty(dir, name)
			delete(f.held, p)
			continue
		}
		if kid == nil && !anchored && len(temporaryName(name)) > 0 {
			if h.gone {
				delete(f.held, p)
			} else {
				f.held[p] = h.last
				continue
			}
		}
		f.dirty(dir, name, h.op, h.first, h.last)
		if isDir {
			dirs = append(dirs, arrived{n, name})
		}
	}
	for _, d := range dirs {
		f.adopt(d.n, d.name)
	}
}

// undirty forgets a name that came and went.
func (f *Files) undirty(dir, name string) {
	g := &f.gather
	if d := g.dirty[dir]; d != nil {
		if delete(d.names, name); len(d.names) == 0 && !d.all {
			delete(g.dirty, dir)
		}
	}
	if d := f.tree.diff; len(g.dirty) == 0 && !g.all && len(d.direct)+len(d.touched)+len(d.stale) == 0 {
		*g = gather{dirty: map[string]*dirty{}}
	}
}

// adopt watches a directory that came, and those in it, before they are looked
// at: so what is written there meanwhile is heard.
func (f *Files) adopt(n *node, name string) {
	t := f.tree
	p := path.Join(n.path, name)
	if !t.keeps(n, p) {
		return
	}
	kid := n.kids[name]
	if kid == nil {
		kid = t.newNode(p)
		n.kids[name] = kid
	}
	kid.actives = t.activesOf(n, p)
	if kid.how == unwatched {
		kid.read = false
		f.watch(kid)
	}
	if d := f.gather.dirty[p]; d == nil {
		f.gather.dirty[p] = &dirty{all: true, names: map[string]op{}}
	} else {
		d.all = true
	}
	list, _ := os.ReadDir(t.abs(p)) // it is read again when it is looked at
	for _, d := range list {
		if d.IsDir() {
			f.adopt(kid, d.Name())
		}
	}
}

// settle looks at what was gathered, and offers what changed.
func (f *Files) settle() {
	now := time.Now()
	g := f.gather
	for p, last := range f.held {
		if now.Sub(last) < left && (g.first.IsZero() || now.Sub(last) < restSingle) {
			continue
		}
		delete(f.held, p)
		dir, name := path.Split(p)
		dir = path.Clean(dir)
		if temporaryFile(f.tree.abs(dir), name) {
			continue
		}
		f.dirty(dir, name, 0, last, last)
		g = f.gather
	}
	if g.first.IsZero() {
		return
	}
	final := now.Sub(g.first) >= restMost
	if f.repo.busy() && !final {
		f.gather.last, f.gather.burst = now, true
		return
	}
	f.gather = gather{dirty: map[string]*dirty{}}
	f.examine(g, final)
	c := f.decide()
	clear := len(c.Inputs) == 0
	f.begin()
	if clear {
		return
	}
	c.First, c.Last = g.first, g.last
	h := f.repo.head()
	c.Head = (h.commit != f.head.commit || h.ref != f.head.ref) && !h.moved.Before(c.First.Add(-restMost))
	f.head = h
	f.offer(c)
}

// examine looks at what was gathered.
func (f *Files) examine(g gather, final bool) {
	t := f.tree
	t.round++
	if g.all {
		f.recheck()
	}
	for _, dir := range slices.Sorted(maps.Keys(g.dirty)) {
		n := t.nodes[dir]
		if n == nil || n.round == t.round {
			continue
		}
		d := g.dirty[dir]
		if d.all {
			t.readNode(n, n)
			continue
		}
		for name := range d.names {
			t.look(n, name, final)
		}
	}
	// Where a path leads can depend on one that changed.
	for range 8 {
		if len(t.diff.stale) == 0 {
			break
		}
		stale := t.diff.stale
		t.diff.stale = map[*want]bool{}
		changed := false
		for w := range stale {
			hops, place, dir := w.hops, w.place, w.dir
			w.resolve(t.root)
			if !slices.Equal(hops, w.hops) || place != w.place || dir != w.dir {
				changed = true
				t.moved[w] = true
				t.touch(w, "")
			}
		}
		if changed {
			t.rescope()
		}
	}
}

// recheck looks at everything.
func (f *Files) recheck() {
	t := f.tree
	for _, p := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[p]
		if n == nil {
			continue
		}
		info, err := os.Lstat(t.abs(p))
		if err != nil || !info.IsDir() || content.StampOf(info).Inode != n.inode {
			t.dropAll(n)
		}
	}
	for _, w := range t.wants {
		t.diff.stale[w] = true
	}
	for _, p := range slices.Sorted(maps.Keys(t.nodes)) {
		if n := t.nodes[p]; n != nil && n.round != t.round {
			t.readNode(n, n)
		}
	}
}

// reopen replaces a source that has failed.
func (f *Files) reopen() {
	if f.src != nil {
		_ = f.src.close() // it has failed
	}
	f.openSource()
	for _, n := range f.tree.nodes {
		n.how = unwatched
	}
	f.polled = 0
}

// decide makes a change of what was found.
func (f *Files) decide() Change {
	t := f.tree
	paths, inputs := map[string]bool{}, map[inputKey]plan.Input{}
	add := func(in *input) { inputs[keyOf(in.Input)] = in.Input }
	for p, wants := range t.diff.direct {
		paths[p] = true
		for w := range wants {
			for _, in := range w.inputs {
				add(in)
			}
		}
	}
	reprune := false
	for w, touched := range t.diff.touched {
		var of []*input
		cur := t.digestOf(w)
		switch w.kind {
		case wantContext:
			of = w.inputs
		case wantIgnore:
			if was := f.ignores[w.path]; was.digest != cur {
				f.ignores[w.path] = f.readIgnore(w.path, was.patterns)
				reprune, of = true, w.inputs
			}
		default:
			for _, in := range w.inputs {
				if in.told != cur {
					in.told = cur
					of = append(of, in)
				}
			}
		}
		if len(of) == 0 {
			continue
		}
		for _, in := range of {
			add(in)
		}
		if maps.Copy(paths, touched); len(touched) == 0 {
			paths[w.path] = true
		}
	}
	t.clear()
	if reprune {
		f.replan()
	}
	return Change{Paths: slices.Sorted(maps.Keys(paths)), Inputs: sortedInputs(inputs)}
}

// offer adds a change to the one that waits to be taken.
func (f *Files) offer(c Change) {
	if o := f.out; o != nil {
		c.Paths = slices.Compact(slices.Sorted(slices.Values(slices.Concat(o.Paths, c.Paths))))
		inputs := map[inputKey]plan.Input{}
		for _, in := range slices.Concat(o.Inputs, c.Inputs) {
			inputs[keyOf(in)] = in
		}
		c.Inputs, c.Head = sortedInputs(inputs), c.Head || o.Head
		if o.First.Before(c.First) {
			c.First = o.First
		}
		if o.Last.After(c.Last) {
			c.Last = o.Last
		}
	}
	f.out = &c
}

// A summed file was read in the background.
type summed struct {
	path  string
	stamp content.Stamp
	sum   content.Sum
	ok    bool
}

// sumSome reads files whose sum nobody has needed yet, a few at a time, so that
// what is written to them later can be compared.
func (f *Files) sumSome() {
	t := f.tree
	if f.summing || len(t.lazy) == 0 {
		return
	}
	var todo []summed
	for len(t.lazy) > 0 && len(todo) < 64 {
		p := t.lazy[len(t.lazy)-1]
		t.lazy = t.lazy[:len(t.lazy)-1]
		if n := t.nodes[path.Dir(p)]; n != nil {
			if e := n.entries[path.Base(p)]; e.mode != 0 && e.regular() && !e.known {
				todo = append(todo, summed{path: p, stamp: e.stamp})
			}
		}
	}
	if len(todo) == 0 {
		return
	}
	f.summing = true
	f.wait.Go(func() {
		h, buf := sha256.New(), make([]byte, 128<<10)
		for i := range todo {
			s := &todo[i]
			s.ok = content.Read(t.abs(s.path), s.stamp, h, buf, &s.sum) == nil
		}
		select {
		case f.sums <- todo:
		case <-f.stop:
		}
	})
}

func (f *Files) summed(some []summed) {
	f.summing = false
	for _, s := range some {
		n := f.tree.nodes[path.Dir(s.path)]
		if n == nil || !s.ok {
			continue
		}
		name := path.Base(s.path)
		if e := n.entries[name]; e.mode != 0 && e.regular() && !e.known && e.stamp == s.stamp {
			e.sum, e.known = s.sum, true
			n.entries[name] = e
		}
	}
}
