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

// How long gathering waits (SPEC W2).
const (
	restSingle = 50 * time.Millisecond  // after one file was replaced or written
	restBurst  = 200 * time.Millisecond // after several, or one that is written again and again
	restMost   = 2 * time.Second        // then it ends even if writing goes on
)

// A gather is what was heard and not looked at yet.
type gather struct {
	dirty       map[string]*dirty // by directory
	names       int               // how many in all of them
	all         bool              // everything is to be looked at
	burst       bool              // more than one file that was replaced or written
	first, last time.Time
	polled      map[string]content.Stamp // what was seen of polled files, by path
}

// A heldName is a path with a temporary name.
type heldName struct {
	last  time.Time     // when it was written
	stamp content.Stamp // of one that is polled
}

func newGather() gather {
	return gather{dirty: map[string]*dirty{}, polled: map[string]content.Stamp{}}
}

// A dirty directory has names that are to be looked at.
type dirty struct {
	all   bool
	names map[string]op
}

// dirty has a name in a directory looked at.
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

// dirtyAll has everything in a directory looked at.
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
		if g.burst || g.names > 1 {
			rest = restBurst
		}
		at = g.last.Add(rest)
		if most := g.first.Add(restMost); most.Before(at) {
			at = most
		}
	}
	for _, h := range f.held {
		if d := h.last.Add(left); at.IsZero() || d.Before(at) {
			at = d
		}
	}
	return at, !at.IsZero()
}

// listen takes what the source has told and gathers what matters of it.
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
				// Nothing above it is watched, so that nobody tells when it is made again.
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

// undirty forgets a name that came and went.
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
	f.gather.burst = true // what is in it is not counted
	f.dirtyAll(kid, time.Now())
	list, _ := os.ReadDir(t.abs(p)) // it is read again when it is looked at
	for _, d := range list {
		if d.IsDir() {
			f.adopt(kid, d.Name())
		}
	}
}

// again gathers what an examination left to be looked at again, of what was first
// heard then, and what it found that is not decided yet.
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
