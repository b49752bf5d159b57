package builtins

import (
	"maps"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/plan"
)

// Trees cache the digests of directories, such as charts, between evaluations of one
// workspace, so that they need not be read again. They are for a program that watches the
// workspace and reports changes with Changed. The zero value is empty. Trees are safe for
// concurrent use.
type Trees struct {
	mu      sync.Mutex
	digests map[string]plan.Digest // by path below the workspace
	epoch   int                    // counts the calls of Changed
}

// Changed drops the directories that contain one of the paths, which are slash-separated
// and relative to the workspace; all directories if paths is nil.
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

// digest returns the known digest of a directory, and the current epoch.
func (t *Trees) digest(dir string) (digest plan.Digest, epoch int) {
	if t == nil {
		return "", 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.digests[dir], t.epoch
}

// keep stores the digest of a directory that was read since epoch, unless anything has
// changed since.
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
