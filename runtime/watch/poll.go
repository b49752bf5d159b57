package watch

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/content"
)

// polls reports whether any directory is polled.
func (f *Files) polls() bool { return f.polled > 0 }

// poll checks the polled directories, and gathers names that seem to have changed since
// they were examined. It reports whether anything changed since the last poll.
func (f *Files) poll(now time.Time) (moving bool) {
	f.retry(now)
	for _, n := range f.tree.nodes {
		if n.how != polled {
			continue
		}
		for name := range f.tree.names(n) {
			if f.pollName(n, name, now) {
				moving = true
			}
		}
	}
	return moving
}

// retry watches directories that are polled for lack of watches, if watches are
// available now. Earlier changes are found by the poll that follows.
func (f *Files) retry(now time.Time) {
	if f.src == nil && now.Sub(f.reopened) >= time.Minute {
		f.reopened = now
		f.src, f.srcErr = f.opts.open(f.ear)
	}
	if f.src == nil {
		return
	}
	for _, n := range f.tree.nodes {
		if n.how != polled || n.silent {
			continue
		}
		switch err := f.src.add(f.tree.abs(n.path)); {
		case err == nil:
			n.how = notified
			f.polled--
			f.dirtyAll(n, now)
		case usedUp(err):
			return
		}
	}
}

// pollName is poll of one name.
func (f *Files) pollName(n *node, name string, now time.Time) (moving bool) {
	p := path.Join(n.path, name)
	info, err := os.Lstat(f.tree.abs(p))
	if !f.seems(n, name, info, err) {
		return false
	}
	var stamp content.Stamp
	if err == nil {
		stamp = content.StampOf(info)
	}
	if n.kids[name] == nil && f.tree.anchors[n.path][name] == nil && err == nil && len(temporaryName(name)) > 0 {
		if h, ok := f.held[p]; !ok || h.stamp != stamp {
			f.held[p] = heldName{now, stamp}
		}
		return false
	}
	last := f.gather.last
	if was, ok := f.gather.polled[p]; !ok || was != stamp {
		moving, last = true, now
	}
	f.gather.polled[p] = stamp
	f.dirty(n.path, name, 0, last, last)
	return moving
}

// seems reports whether a name in n may have changed since it was examined.
func (f *Files) seems(n *node, name string, info fs.FileInfo, err error) bool {
	e, had := n.entries[name]
	kid := n.kids[name]
	switch {
	case err != nil:
		return had && e.mode != 0 || kid != nil
	case info.IsDir():
		return had && !e.mode.IsDir() || f.tree.keeps(n, path.Join(n.path, name)) && (kid == nil || kid.inode != content.StampOf(info).Inode)
	case !had, kid != nil, e.mode != modeOf(info):
		return true
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(f.tree.abs(path.Join(n.path, name)))
		return err != nil || e.sum != sha256.Sum256([]byte(target))
	}
	return info.Mode().IsRegular() && (e.fresh || e.stamp != content.StampOf(info))
}
