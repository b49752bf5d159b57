package watch

import (
	"crypto/sha256"
	"path"

	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// A summed file was read in the background.
type summed struct {
	path  string
	stamp content.Stamp
	sum   content.Sum
	ok    bool
}

// sumSome computes sums that have not been needed yet, a few at a time, so that
// later writes can be compared.
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
