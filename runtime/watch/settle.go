package watch

import (
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// settle examines the gathered names, and offers the changes.
func (f *Files) settle() {
	now := time.Now()
	f.release(now)
	g := f.gather
	if g.first.IsZero() {
		return
	}
	final := now.Sub(g.first) >= maxRest
	if !final && (f.repo.busy(now) || f.polled > 0 && f.poll(now)) {
		f.gather.last, f.gather.burst = now, true
		return
	}
	g = f.gather
	f.gather = newGather()
	f.examine(g, final)
	c := f.decide()
	f.again(g.first)
	if len(c.Inputs) == 0 {
		return
	}
	c.First, c.Last = g.first, g.last
	h := f.repo.head()
	c.Head = (h.commit != f.head.commit || h.ref != f.head.ref) && !h.moved.Before(c.First.Add(-maxRest))
	f.head = h
	f.offer(c)
}

// release gathers files with temporary names that have been left alone, and, together
// with other changes, those that are as old as these: a build would include them.
func (f *Files) release(now time.Time) {
	rest := left
	if !f.gather.first.IsZero() {
		rest = restSingle
	}
	for p, h := range f.held {
		if now.Sub(h.last) < rest {
			continue
		}
		delete(f.held, p)
		dir, name := path.Split(p)
		dir = path.Clean(dir)
		if !temporaryFile(f.tree.abs(dir), name) {
			f.dirty(dir, name, 0, h.last, h.last)
		}
	}
}

// examine examines the gathered names.
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
			t.examine(n, name, final)
		}
	}
	// The target of a path can depend on one that changed.
	for range 8 {
		if len(t.diff.stale) == 0 {
			break
		}
		stale := t.diff.stale
		t.diff.stale = map[*want]bool{}
		changed := false
		for w := range stale {
			if t.resolve(w) {
				changed = true
				t.moved[w] = true
				t.touch(w, "")
			}
		}
		if changed {
			t.rescope()
		}
	}
	if t.links() {
		t.rescope()
	}
}

// recheck examines everything.
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

// decide turns the findings into a Change.
func (f *Files) decide() Change {
	t := f.tree
	paths, inputs := map[string]bool{}, map[inputKey]plan.Input{}
	add := func(in *input) { inputs[keyOf(in.Input)] = in.Input }
	for p, wants := range t.diff.direct {
		for w := range wants {
			w.named(p, paths)
			for _, in := range w.inputs {
				add(in)
			}
		}
	}
	reprune := false
	var linked []*input
	for w, touched := range t.diff.touched {
		var of []*input
		cur := t.digestOf(w)
		switch w.kind {
		case wantContext:
			of = w.inputs
		case wantLinked:
			of = slices.DeleteFunc(slices.Clone(w.inputs), func(in *input) bool { return f.inputs[keyOf(in.Input)] != in })
			linked = append(linked, of...)
		case wantIgnore:
			if was := f.ignores[w.path]; was.digest != cur {
				f.ignores[w.path] = f.readIgnore(w.path, was.patterns)
				reprune, of = true, w.inputs
			}
		default:
			for _, in := range w.inputs {
				if in.reported != cur {
					in.reported = cur
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
		for p := range touched {
			w.named(p, paths)
		}
		if len(touched) == 0 {
			paths[w.path] = true
		}
		if w.kind == wantLinked {
			for _, in := range of {
				if !strings.HasPrefix(w.path, in.Path+"/") { // the chart itself is behind a link
					paths[in.Path] = true
				}
			}
		}
	}
	for _, in := range linked { // the digest includes only some of the link targets
		in.reported = t.digestOf(t.wants[wantKey{kind: wantChart, path: in.Path}])
	}
	t.clear()
	if reprune {
		f.replan()
	}
	return Change{Paths: slices.Sorted(maps.Keys(paths)), Inputs: sortedInputs(inputs)}
}

// offer merges a change into the one that waits to be received.
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
