package watch

import (
	"crypto/sha256"
	"hash"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

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
