package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// A tree is the known state of the directories in the workspace that contain
// wanted files.
type tree struct {
	root  string // absolute, without links
	wants map[wantKey]*want

	nodes   map[string]*node
	starts  map[string][]*want            // wanted trees, by their top directory
	anchors map[string]map[string][]*want // by directory and name: wants whose path passes there
	ways    map[string]map[string]bool    // directories with starts or anchors in or below them, and the names that lead there
	moved   map[*want]bool                // wants that lead elsewhere since the tree was last scoped
	affects map[string]bool               // directories on the way to their previous targets
	scoping bool                          // names are examined because of a new scope, not because of events
	relink  bool                          // a symbolic link in a chart was created or deleted
	round   int                           // counts examinations

	// watch starts to watch a directory, unwatch stops that. Both are nil if nothing is watched.
	watch   func(*node)
	unwatch func(*node)

	diff   diff
	lazy   []string                   // files without a sum, to be read in the background
	moving map[string]map[string]bool // names to examine again, by directory
	hash   hash.Hash
	buf    []byte
}

// A node is a directory.
type node struct {
	path     string // slash-separated, below the root, without links
	inode    uint64
	how      how
	silent   bool // it is polled because its file system does not report changes
	read     bool // its names were read with its current scope
	round    int  // the examination in which they were read
	denied   bool // its names cannot be read
	actives  []active
	anchored map[string]bool // names that paths pass through
	kids     map[string]*node
	entries  map[string]entry
}

// how a node is watched.
type how uint8

const (
	unwatched how = iota
	notified
	polled
)

// An entry is the known state of a wanted name.
type entry struct {
	stamp content.Stamp
	sum   content.Sum // of a file's content, of a link's target
	mode  fs.FileMode // as returned by [content.Mode]; the type if it is not a file, link or directory
	known bool        // the sum is known
	fresh bool        // the stamp can hide a later change
}

func (e *entry) regular() bool { return e.mode.Type() == 0 }

// A diff is the result of an examination.
type diff struct {
	direct  map[string]map[*want]bool // paths of contexts that changed
	touched map[*want]map[string]bool // wants that may have changed, and the paths that did
	stale   map[*want]bool            // wants whose path may lead elsewhere
}

func (d *diff) empty() bool { return len(d.direct)+len(d.touched)+len(d.stale) == 0 }

func newTree(root string) *tree {
	t := &tree{
		root: root, wants: map[wantKey]*want{}, nodes: map[string]*node{}, hash: sha256.New(), buf: make([]byte, 128<<10),
		moved: map[*want]bool{}, affects: map[string]bool{}, moving: map[string]map[string]bool{},
	}
	t.clear()
	return t
}

func (t *tree) clear() {
	t.diff = diff{map[string]map[*want]bool{}, map[*want]map[string]bool{}, map[*want]bool{}}
}

func (t *tree) abs(p string) string { return filepath.Join(t.root, filepath.FromSlash(p)) }

// index computes starts, anchors and ways from the wants.
func (t *tree) index() {
	t.starts, t.anchors, t.ways = map[string][]*want{}, map[string]map[string][]*want{}, map[string]map[string]bool{".": {}}
	way := func(dir string) {
		for name := ""; ; dir = path.Dir(dir) {
			names, ok := t.ways[dir]
			if !ok {
				names = map[string]bool{}
				t.ways[dir] = names
			}
			if name != "" {
				names[name] = true
			}
			if ok {
				return
			}
			name = path.Base(dir)
		}
	}
	for _, w := range t.wants {
		for _, h := range w.hops {
			names := t.anchors[h.dir]
			if names == nil {
				names = map[string][]*want{}
				t.anchors[h.dir] = names
			}
			if of := names[h.name]; len(of) == 0 || of[len(of)-1] != w { // a path can pass a name twice
				names[h.name] = append(of, w)
			}
			way(h.dir)
		}
		if w.entered() {
			t.starts[w.place] = append(t.starts[w.place], w)
			way(w.place)
		}
	}
}

// rescope applies the wants: directories that have become relevant are
// read, those that are no longer relevant are forgotten. Changes of what was wanted
// before are in the diff.
func (t *tree) rescope() {
	t.apply()
	for range 8 { // a chart that is linked can have links
		if !t.links() {
			break
		}
		t.apply()
	}
}

// links adds wants for the targets of symbolic links in charts, and reports
// whether these have changed.
func (t *tree) links() (changed bool) {
	if !t.relink {
		return false
	}
	t.relink = false
	needed := map[wantKey][]*input{}
	for _, n := range t.nodes {
		for _, a := range n.actives {
			if a.want.kind != wantChart && a.want.kind != wantLinked {
				continue
			}
			for name, e := range n.entries {
				if e.mode&fs.ModeSymlink != 0 {
					k := wantKey{kind: wantLinked, path: path.Join(n.path, name)}
					needed[k] = append(needed[k], a.want.inputs...)
				}
			}
		}
	}
	for k, w := range t.wants {
		if _, ok := needed[k]; !ok && k.kind == wantLinked {
			t.affect(w)
			delete(t.wants, k)
			changed = true
		}
	}
	for k, inputs := range needed {
		w := t.wants[k]
		if w == nil {
			w = &want{kind: wantLinked, path: k.path}
			t.resolve(w)
			t.wants[k] = w
			changed = true
		}
		w.inputs = inputs
	}
	return changed
}

func (t *tree) apply() {
	t.index()
	n := t.nodes["."]
	if n == nil {
		n = t.newNode(".")
	}
	t.scoping = true
	t.scope(n, nil)
	t.scoping = false
	clear(t.moved)
	clear(t.affects)
}

// resolve resolves the path of w, and reports whether its target has changed.
func (t *tree) resolve(w *want) (moved bool) {
	hops, place, dir := w.hops, w.place, w.dir
	t.affect(w)
	w.resolve(t.root)
	t.affect(w)
	return !slices.Equal(hops, w.hops) || place != w.place || dir != w.dir
}

// affect marks the directories on the path of w for scoping.
func (t *tree) affect(w *want) {
	mark := func(dir string) {
		for !t.affects[dir] {
			t.affects[dir] = true
			dir = path.Dir(dir)
		}
	}
	for _, h := range w.hops {
		mark(h.dir)
	}
	if w.found {
		mark(w.place)
	}
}

func (t *tree) newNode(p string) *node {
	n := &node{path: p, kids: map[string]*node{}, entries: map[string]entry{}}
	t.nodes[p] = n
	return n
}

// activesOf returns the trees that contain the directory p, a child of parent.
func (t *tree) activesOf(parent *node, p string) []active {
	var out []active
	if parent != nil && path.Base(p) != ".git" {
		for i := range parent.actives {
			if a, ok := parent.actives[i].enter(p); ok {
				out = append(out, a)
			}
		}
	}
	for _, w := range t.starts[p] {
		if !slices.ContainsFunc(out, func(a active) bool { return a.want == w }) {
			out = append(out, active{want: w})
		}
	}
	slices.SortFunc(out, func(a, b active) int { return strings.Compare(a.want.path, b.want.path) })
	return out
}

// scope sets the trees that contain n and the directories below it.
func (t *tree) scope(n, parent *node) {
	before := n.actives
	n.actives = t.activesOf(parent, n.path)
	same := slices.EqualFunc(before, n.actives, func(a, b active) bool { return a.want == b.want && !t.moved[a.want] })
	if !same || !n.read || !t.complete(n) {
		if t.hasMoved(n) {
			t.readNode(n, n)
		} else {
			t.readNode(n, &node{path: n.path, read: n.read, actives: before})
		}
	}
	for name, kid := range n.kids {
		switch {
		case same && !t.affects[kid.path]: // nothing has changed there
		case t.keeps(n, kid.path):
			t.scope(kid, n)
		default:
			t.forget(kid)
			delete(n.kids, name)
		}
	}
}

// hasMoved reports whether a tree that contains n was elsewhere before: then everything
// in n is new.
func (t *tree) hasMoved(n *node) bool {
	return slices.ContainsFunc(n.actives, func(a active) bool { return t.moved[a.want] })
}

// complete reports whether n was read for exactly the paths that pass through it.
func (t *tree) complete(n *node) bool {
	names := t.anchors[n.path]
	if len(names) != len(n.anchored) {
		return false
	}
	for name := range names {
		if !n.anchored[name] {
			return false
		}
	}
	for name := range t.ways[n.path] {
		if n.kids[name] == nil {
			return false
		}
	}
	return true
}

// keeps reports whether the directory p, a child of n, contains wanted files.
func (t *tree) keeps(n *node, p string) bool {
	return t.ways[p] != nil || t.enters(n, path.Base(p))
}

// enters reports whether a tree that contains n includes its subdirectory name.
func (t *tree) enters(n *node, name string) bool {
	p := path.Join(n.path, name)
	return name != ".git" && slices.ContainsFunc(n.actives, func(a active) bool { _, ok := a.enter(p); return ok })
}

// wantedIn reports whether a tree that contains n includes the name.
func (t *tree) wantedIn(n *node, name string, isDir bool) bool {
	if name == ".git" {
		return false
	}
	p := path.Join(n.path, name)
	return slices.ContainsFunc(n.actives, func(a active) bool { return a.accepts(p, isDir) })
}

// forget drops n and all below it.
func (t *tree) forget(n *node) {
	for _, kid := range n.kids {
		t.forget(kid)
	}
	t.drop(n)
	delete(t.nodes, n.path)
}

// drop ends the watch of n.
func (t *tree) drop(n *node) {
	if n.how != unwatched && t.unwatch != nil {
		t.unwatch(n)
	}
	n.how = unwatched
}

// dropAll ends the watches of n and all below it: it was replaced by another directory.
func (t *tree) dropAll(n *node) {
	t.drop(n)
	for _, kid := range n.kids {
		t.dropAll(kid)
	}
}

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
		t.lookAt(n, name, l, before, covered, false)
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

// look updates the known state of a name in n. A file that changes while
// it is read is examined again later, unless now is set.
func (t *tree) look(n *node, name string, now bool) { t.lookAt(n, name, listed{}, n, true, now) }

// lookAt is look in a directory that was scoped as before when it was last read,
// if that covered it.
func (t *tree) lookAt(n *node, name string, l listed, before *node, covered, now bool) {
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

// changed records that a name in n changed.
func (t *tree) changed(n *node, name string, old, e entry, isDir bool) {
	p := path.Join(n.path, name)
	was, is := old.mode != 0, e.mode != 0
	wasDir, kind := old.mode.IsDir(), old.mode.Type() != e.mode.Type() || was != is
	modeOnly := !kind && old.regular() && old.known && e.known && old.sum == e.sum
	if name != ".git" {
		for i := range n.actives {
			a := &n.actives[i]
			if !(was && a.accepts(p, wasDir) || is && a.accepts(p, isDir)) {
				continue
			}
			switch {
			case a.want.kind == wantContext:
				if t.diff.direct[p] == nil {
					t.diff.direct[p] = map[*want]bool{}
				}
				t.diff.direct[p][a.want] = true
			case modeOnly, a.want.kind == wantGlob && was && is && !wasDir && !isDir:
			default:
				t.touch(a.want, p)
			}
		}
	}
	for _, w := range t.anchors[n.path][name] {
		link := old.mode&fs.ModeSymlink != 0 || e.mode&fs.ModeSymlink != 0
		if kind || link {
			t.diff.stale[w] = true
		}
		if modeOnly {
			continue
		}
		h := hop{n.path, name, false}
		last := len(w.hops) > 0 && w.hops[len(w.hops)-1] == h
		switch {
		case link, last && !wasDir && !isDir, last && w.kind == wantContext:
			t.touch(w, p)
		case last && w.tree():
			t.touch(w, "") // the content of the directory changed
		}
	}
}

func (t *tree) touch(w *want, p string) {
	if t.diff.touched[w] == nil {
		t.diff.touched[w] = map[string]bool{}
	}
	if p != "" {
		t.diff.touched[w][p] = true
	}
	w.valid = false
}

// digestOf returns the digest of the files of w, as an evaluation would compute it.
func (t *tree) digestOf(w *want) plan.Digest {
	if !w.valid {
		w.digest, w.valid = t.compute(w), true
	}
	return w.digest
}

func (t *tree) compute(w *want) plan.Digest {
	if w.kind == wantGlob {
		var names []string
		if n := t.nodes[w.place]; w.found && n != nil {
			t.matches(w, n, &names)
		}
		slices.Sort(names)
		return plan.DigestOf([]byte(strings.Join(names, "\n")))
	}
	if !w.found || w.place == "." && !w.tree() {
		return ""
	}
	if n := t.nodes[w.place]; n != nil && w.dir && w.tree() {
		var sums strings.Builder
		if !t.sums(w, n, &sums) {
			return ""
		}
		return plan.DigestOf([]byte(sums.String()))
	}
	n := t.nodes[path.Dir(w.place)]
	if n == nil {
		return ""
	}
	if e := n.entries[path.Base(w.place)]; e.mode != 0 && e.regular() && e.known {
		return digest(e.sum)
	}
	return ""
}

func digest(s content.Sum) plan.Digest { return plan.Digest("sha256:" + hex.EncodeToString(s[:])) }

// matches adds the files below n that match the glob w.
func (t *tree) matches(w *want, n *node, names *[]string) {
	for i := range n.actives {
		if a := &n.actives[i]; a.want == w {
			for name, e := range n.entries {
				if p := path.Join(n.path, name); e.mode != 0 && a.accepts(p, e.mode.IsDir()) && name != ".git" {
					*names = append(*names, w.logical(p))
				}
			}
			for _, kid := range n.kids {
				t.matches(w, kid, names)
			}
		}
	}
}

// sums appends the lines for the files below n that the digest of the chart w is
// computed from, in the order of a walk.
func (t *tree) sums(w *want, n *node, to *strings.Builder) bool {
	names := slices.Sorted(maps.Keys(n.entries))
	for name := range n.kids {
		if _, ok := n.entries[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		p := path.Join(n.path, name)
		if kid := n.kids[name]; kid != nil {
			if name != ".git" && !t.sums(w, kid, to) {
				return false
			}
			continue
		}
		e := n.entries[name]
		switch {
		case e.mode == 0 || e.mode.IsDir():
		case e.mode&fs.ModeSymlink != 0:
			l := t.wants[wantKey{kind: wantLinked, path: p}]
			if l != nil && l.dir {
				continue
			}
			if l == nil || t.digestOf(l) == "" {
				return false
			}
			fmt.Fprintf(to, "%s %s\n", w.below(p), t.digestOf(l))
		case !e.regular() || !e.known:
			return false
		default:
			fmt.Fprintf(to, "%s %s\n", w.below(p), digest(e.sum))
		}
	}
	return true
}
