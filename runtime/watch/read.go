package watch

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// readNode updates the known state of n. Before is n with the scope of its last
// reading: only names in that scope can be reported as changed.
func (t *tree) readNode(n, before *node) {
	if n.how == unwatched && t.watch != nil {
		t.watch(n) // before it is read, so that no change is missed
	}
	if n.path == "." || n.inode == 0 {
		if info, err := os.Lstat(t.abs(n.path)); err == nil {
			n.inode = content.StampOf(info).Inode
		}
	}
	names := t.names(n)
	covered := before.read || before == n
	n.read, n.round, n.anchored = true, t.round, nil
	if names := t.anchors[n.path]; len(names) > 0 {
		n.anchored = make(map[string]bool, len(names))
		for name := range names {
			n.anchored[name] = true
		}
	}
	for name, l := range names {
		t.examineAt(n, name, l, before, covered, false)
	}
}

// listed is what reading a directory found about a name, so that it is not matched
// again.
type listed struct{ ok, isDir, wanted bool }

// names returns the names in n that are known or wanted.
func (t *tree) names(n *node) map[string]listed {
	names := map[string]listed{}
	for name := range n.entries {
		names[name] = listed{}
	}
	for name := range n.kids {
		names[name] = listed{}
	}
	for name := range t.anchors[n.path] {
		names[name] = listed{}
	}
	for name := range t.ways[n.path] {
		names[name] = listed{}
	}
	if len(n.actives) == 0 {
		return names
	}
	list, err := os.ReadDir(t.abs(n.path)) // if it is gone, its known names are examined
	n.denied = errors.Is(err, fs.ErrPermission)
	for _, d := range list {
		name := d.Name()
		l := listed{ok: true, isDir: d.IsDir(), wanted: t.wantedIn(n, name, d.IsDir())}
		if _, known := names[name]; known || l.wanted || l.isDir && t.keeps(n, path.Join(n.path, name)) {
			names[name] = l
		}
	}
	return names
}

// examine updates the known state of a name in n. A file that changes while
// it is read is examined again later, unless now is set.
func (t *tree) examine(n *node, name string, now bool) { t.examineAt(n, name, listed{}, n, true, now) }

// examineAt is examine in a directory that was scoped as before when it was last read,
// if that covered it.
func (t *tree) examineAt(n *node, name string, l listed, before *node, covered, now bool) {
	p := path.Join(n.path, name)
	abs := t.abs(p)
	began := time.Now()
	info, err := os.Lstat(abs)
	isDir := err == nil && info.IsDir()
	old, had := n.entries[name]
	oldKid := n.kids[name]
	anchors := t.anchors[n.path][name]
	tree := l.wanted
	if !l.ok || l.isDir != isDir {
		tree = t.wantedIn(n, name, isDir)
	}
	tree = tree && err == nil
	if tree && !isDir && len(anchors) == 0 && temporaryFile(t.abs(n.path), name) {
		tree = false
	}

	if oldKid != nil && !isDir {
		t.leave(oldKid)
		delete(n.kids, name)
	}
	report := had || covered && (before == n || t.wantedIn(before, name, isDir))
	switch {
	case err != nil:
		if had && old.mode != 0 {
			t.relink = t.relink || old.mode&fs.ModeSymlink != 0
			t.changed(n, name, old, entry{}, isDir)
		}
		if delete(n.entries, name); len(anchors) > 0 {
			n.entries[name] = entry{} // record that it does not exist
		}
	case len(anchors) > 0 || tree:
		e, ok := t.entryOf(n, name, abs, info, old, began, now, len(anchors) > 0)
		if !ok {
			t.move(n, name)
			return
		}
		n.entries[name] = e
		t.relink = t.relink || (old.mode|e.mode)&fs.ModeSymlink != 0
		if report && differ(old, e, t.scoping) {
			t.changed(n, name, old, e, isDir)
		}
	default:
		delete(n.entries, name)
	}
	if !isDir || !t.keeps(n, p) {
		return
	}
	kid := n.kids[name]
	inode := content.StampOf(info).Inode
	switch {
	case kid == nil:
		kid = t.newNode(p)
		n.kids[name] = kid
	case kid.inode == inode && kid.how != unwatched && kid.read:
		return
	case kid.inode != inode:
		t.dropAll(kid)
	}
	kid.inode = inode
	kid.actives = t.activesOf(n, p)
	if oldKid != nil || covered && (before == n || t.enters(before, name)) || t.hasMoved(kid) {
		t.readNode(kid, kid)
	} else {
		t.readNode(kid, &node{path: p})
	}
}

// leave reports everything below n as deleted, and forgets it.
func (t *tree) leave(n *node) {
	for _, kid := range n.kids {
		t.leave(kid)
	}
	for name, e := range n.entries {
		if e.mode != 0 {
			t.changed(n, name, e, entry{}, e.mode.IsDir())
			t.relink = t.relink || e.mode&fs.ModeSymlink != 0
		}
	}
	t.drop(n)
	delete(t.nodes, n.path)
}

// move marks a name for a later examination.
func (t *tree) move(n *node, name string) {
	if t.moving[n.path] == nil {
		t.moving[n.path] = map[string]bool{}
	}
	t.moving[n.path][name] = true
}

// entryOf returns the entry of a file. It is not ok if the file changes while it
// is read, unless now is set.
func (t *tree) entryOf(n *node, name, abs string, info fs.FileInfo, old entry, began time.Time, now, anchor bool) (e entry, ok bool) {
	e = entry{stamp: content.StampOf(info), mode: modeOf(info)}
	switch {
	case info.IsDir():
		return entry{mode: e.mode, known: true}, true
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(abs)
		if err != nil {
			return e, now
		}
		e.sum, e.known = sha256.Sum256([]byte(target)), true
		return e, true
	case !info.Mode().IsRegular():
		return entry{mode: e.mode, known: true}, true
	}
	e.fresh = !e.stamp.Settled(began)
	was := old.mode != 0 && old.regular()
	if was && old.stamp == e.stamp && !old.fresh {
		old.mode = e.mode
		e = old
		if e.known || !anchor {
			return e, true
		}
	}
	sums := anchor || slices.ContainsFunc(n.actives, func(a active) bool { return a.want.sums() })
	if !sums && !(was && old.known) {
		t.lazy = append(t.lazy, path.Join(n.path, name))
		return e, true
	}
	err := content.Read(abs, e.stamp, t.hash, t.buf, &e.sum)
	switch {
	case err == nil:
		e.known = true
	case errors.Is(err, fs.ErrPermission):
	default: // it is changing, or was deleted
		return e, now
	}
	return e, true
}

// modeOf returns the mode of an entry.
func modeOf(info fs.FileInfo) fs.FileMode {
	if t := info.Mode().Type(); t&^(fs.ModeDir|fs.ModeSymlink) != 0 {
		return t
	}
	return content.Mode(info.Mode())
}

// differ reports whether the content of a name changed. Unknown content is assumed to
// have changed if it may have; without an event, its stamp must differ.
func differ(old, e entry, unheard bool) bool {
	switch {
	case old.mode != e.mode:
		return true
	case !e.regular() || e.mode == 0:
		return old.sum != e.sum
	case old.known && e.known:
		return old.sum != e.sum
	}
	return old.stamp != e.stamp || old.fresh && !unheard
}
