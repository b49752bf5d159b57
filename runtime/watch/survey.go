package watch

import (
	"maps"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// Surveyed describes the resources that watching inputs would need.
type Surveyed struct {
	Directories int     // each needs a watch
	Files       int     // files to compare
	Limits      []Limit // of watches and of inotify instances
	Silent      []Mount // file systems with directories that would be polled
}

// Survey determines the resources that watching these inputs would need, without
// watching them.
func Survey(root string, inputs []plan.Input, builds []plan.BuildSpec) (Surveyed, error) {
	f, err := newFiles(root, FileOptions{})
	if err != nil {
		return Surveyed{}, err
	}
	f.tree.watch = nil
	f.set(inputs, builds, time.Time{})
	var out Surveyed
	silent := map[Mount]bool{}
	for _, n := range f.tree.nodes {
		out.Directories++
		for _, e := range n.entries {
			if e.mode != 0 && !e.mode.IsDir() {
				out.Files++
			}
		}
		if m := mountOf(f.table, f.tree.abs(n.path)); m.Silent() {
			silent[m] = true
		}
	}
	out.Limits = limits("/proc", out.Directories)
	out.Silent = slices.SortedFunc(maps.Keys(silent), func(a, b Mount) int { return slices.Compare([]string{a.Path}, []string{b.Path}) })
	return out, nil
}
