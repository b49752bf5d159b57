package watch

import (
	"crypto/sha256"
	"os"
	"path"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// polls reports whether something is polled.
func (f *Files) polls() bool {
	return f.polled > 0
}

// poll looks at what is polled, and gathers what seems to have changed.
func (f *Files) poll() {
	t := f.tree
	now := time.Now()
	for _, n := range t.nodes {
		if n.how != polled {
			continue
		}
		names := map[string]bool{}
		for name := range n.entries {
			names[name] = true
		}
		for name := range n.kids {
			names[name] = true
		}
		if len(n.actives) > 0 {
			list, _ := os.ReadDir(t.abs(n.path)) // if it is gone, so are its names
			for _, d := range list {
				name := d.Name()
				if t.wantedIn(n, name, d.IsDir()) || d.IsDir() && t.keeps(n, path.Join(n.path, name)) {
					names[name] = true
				}
			}
		}
		for name := range names {
			if f.seems(n, name) {
				f.dirty(n.path, name, 0, now, now)
			}
		}
	}
}

// seems reports whether a name in n may have changed since it was looked at.
func (f *Files) seems(n *node, name string) bool {
	e, had := n.entries[name]
	kid := n.kids[name]
	info, err := os.Lstat(f.tree.abs(path.Join(n.path, name)))
	switch {
	case err != nil:
		return had && e.mode != 0 || kid != nil
	case info.IsDir():
		return kid == nil && f.tree.keeps(n, path.Join(n.path, name)) || kid != nil && kid.inode != content.StampOf(info).Inode || had && !e.mode.IsDir()
	case !had || kid != nil:
		return true
	case e.mode.Type() != content.Mode(info.Mode()).Type() || e.mode != content.Mode(info.Mode()):
		return true
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(f.tree.abs(path.Join(n.path, name)))
		return err != nil || e.sum != sha256.Sum256([]byte(target))
	}
	return info.Mode().IsRegular() && (e.fresh || e.stamp != content.StampOf(info))
}
