package watch

import (
	"path"
	"slices"
	"strings"
)

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
