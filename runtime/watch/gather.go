package watch

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// The debounce times (SPEC W2).
const (
	restSingle = 50 * time.Millisecond  // after one file was replaced or written
	restBurst  = 200 * time.Millisecond // after several files, or one that is written repeatedly
	maxRest    = 2 * time.Second        // the maximum, even if writing continues
)

// A gather is the set of events that have not been examined yet.
type gather struct {
	dirty       map[string]*dirty // by directory
	names       int               // how many in all of them
	all         bool              // everything must be examined
	burst       bool              // more than one file was replaced or written
	first, last time.Time
	polled      map[string]content.Stamp // the last stamps of polled files, by path
}

// A heldName is a path with a temporary name.
type heldName struct {
	last  time.Time     // when it was written
	stamp content.Stamp // if it is polled
}

func newGather() gather {
	return gather{dirty: map[string]*dirty{}, polled: map[string]content.Stamp{}}
}

// A dirty directory has names that must be examined.
type dirty struct {
	all   bool
	names map[string]op
}

// dirty marks a name in a directory for examination.
func (f *Files) dirty(dir, name string, o op, first, last time.Time) {
	g := &f.gather
	d := g.dirty[dir]
	if d == nil {
		d = &dirty{names: map[string]op{}}
		g.dirty[dir] = d
	}
	if _, ok := d.names[name]; !ok {
		g.names++
	}
	d.names[name] |= o
	f.heard(first, last)
}

// dirtyAll marks everything in a directory for examination.
func (f *Files) dirtyAll(n *node, now time.Time) {
	d := f.gather.dirty[n.path]
	if d == nil {
		d = &dirty{names: map[string]op{}}
		f.gather.dirty[n.path] = d
	}
	d.all = true
	f.heard(now, now)
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
		g.burst = true // it is written repeatedly
	}
}

// heardAll marks everything for examination.
func (f *Files) heardAll(now time.Time) {
	f.gather.all, f.gather.burst = true, true
	f.heard(now, now)
}

// due returns when the gathered events are examined.
func (f *Files) due() (time.Time, bool) {
	var at time.Time
	if g := &f.gather; !g.first.IsZero() {
		rest := restSingle
		if g.burst || g.names > 1 {
			rest = restBurst
		}
		at = g.last.Add(rest)
		if latest := g.first.Add(maxRest); latest.Before(at) {
			at = latest
		}
	}
	for _, h := range f.held {
		if d := h.last.Add(left); at.IsZero() || d.Before(at) {
			at = d
		}
	}
	return at, !at.IsZero()
}

// listen takes the events of the source and gathers the relevant ones.
func (f *Files) listen() {
	events, lost, err := f.ear.take()
	if err != nil {
		f.reopen(err)
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
			if root := t.nodes["."]; h.op&opGone != 0 && root != nil && root.how == notified {
				// Nothing above it is watched, so there is no event when it is created again.
				f.unwatch(root)
				root.how = polled
				f.polled++
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
				continue // the mode and times of a directory are not content
			}
			if h.op&(opCreate|opGone) != 0 {
				t.dropAll(kid)
			}
		case anchored || known:
		case isDir && t.keeps(n, p):
		case !t.wantedIn(n, name, isDir):
			continue
		case h.gone: // it was created and deleted
			f.undirty(dir, name)
			delete(f.held, p)
			continue
		}
		if kid == nil && !anchored && len(temporaryName(name)) > 0 {
			if h.gone {
				delete(f.held, p)
			} else {
				f.held[p] = heldName{last: h.last}
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

// undirty removes a name that was created and deleted.
func (f *Files) undirty(dir, name string) {
	g := &f.gather
	if d := g.dirty[dir]; d != nil {
		if _, ok := d.names[name]; ok {
			delete(d.names, name)
			g.names--
		}
		if len(d.names) == 0 && !d.all {
			delete(g.dirty, dir)
		}
	}
	if len(g.dirty) == 0 && !g.all && f.tree.diff.empty() {
		*g = newGather()
	}
}

// adopt watches a new directory and those in it before they are
// examined, so that writes in the meantime are noticed.
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
	f.gather.burst = true // its content is not counted
	f.dirtyAll(kid, time.Now())
	list, _ := os.ReadDir(t.abs(p)) // it is read again when it is examined
	for _, d := range list {
		if d.IsDir() {
			f.adopt(kid, d.Name())
		}
	}
}

// again gathers the names that an examination must examine again, whose events were
// first heard at that time, and the changes that are not decided yet.
func (f *Files) again(first time.Time) {
	now := time.Now()
	for dir, names := range f.tree.moving {
		for name := range names {
			f.dirty(dir, name, 0, first, now)
		}
	}
	clear(f.tree.moving)
	if !f.tree.diff.empty() {
		f.heard(first, now)
	}
}
