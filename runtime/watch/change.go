package watch

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/content"
)

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
