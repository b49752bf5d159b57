package builtins

import (
	"maps"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/plan"
)

// Trees keep the digests of directories, such as charts, between evaluations of
// one workspace, so that these need not be read again. They are for a program that
// watches the workspace, and tells them what has changed. The zero value knows
// nothing. Trees are safe for concurrent use.
type Trees struct {
	mu      sync.Mutex
	digests map[string]plan.Digest // by path below the workspace
	epoch   int                    // counts the calls of Changed
}

// Changed forgets the directories that have one of the paths in them, which are
// slash-separated and below the workspace; all if paths is nil.
func (t *Trees) Changed(paths []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	maps.DeleteFunc(t.digests, func(dir string, _ plan.Digest) bool {
		if paths == nil || dir == "." {
			return true
		}
		for _, p := range paths {
			if p == dir || strings.HasPrefix(p, dir+"/") || strings.HasPrefix(dir, p+"/") {
				return true
			}
		}
		return false
	})
}

// digest returns what is known of a directory, and when that was asked.
func (t *Trees) digest(dir string) (digest plan.Digest, epoch int) {
	if t == nil {
		return "", 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.digests[dir], t.epoch
}

// keep remembers the digest of a directory that was read since epoch, unless
// something has changed since.
func (t *Trees) keep(dir string, digest plan.Digest, epoch int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.epoch != epoch {
		return
	}
	if t.digests == nil {
		t.digests = make(map[string]plan.Digest)
	}
	t.digests[dir] = digest
}
