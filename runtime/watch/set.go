package watch

import (
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/content"
	"github.com/pipelinefile/pipe/runtime/internal/dockerignore"
)

// An ignoreFile is the content of a .dockerignore.
type ignoreFile struct {
	digest   plan.Digest // empty: the file does not exist
	patterns []string
}

func (f *Files) set(inputs []plan.Input, builds []plan.BuildSpec, since time.Time) {
	if f.same(inputs, builds) {
		return
	}
	f.table = around(f.opts.mounts(), f.tree.root)
	last := map[inputKey]plan.Input{}
	for _, in := range inputs {
		last[keyOf(in)] = in
	}
	maps.DeleteFunc(f.inputs, func(k inputKey, _ *input) bool { _, ok := last[k]; return !ok })
	f.given, f.named, f.builds = sortedInputs(last), slices.Clone(inputs), slices.Clone(builds)
	for k, in := range last {
		was := f.inputs[k]
		switch {
		case was == nil:
			f.inputs[k] = &input{Input: in, given: in.Digest, reported: in.Digest}
		case was.given != in.Digest:
			was.Input, was.given, was.reported = in, in.Digest, in.Digest
		}
	}
	f.replan()
	for _, w := range f.tree.wants {
		if w.kind == wantContext || w.kind == wantIgnore || w.kind == wantLinked {
			continue
		}
		cur := f.tree.digestOf(w)
		if slices.ContainsFunc(w.inputs, func(in *input) bool { return in.reported != cur }) {
			f.suspect(w)
		}
	}
	if !since.IsZero() {
		f.changedSince(since)
	}
	f.again(time.Now())
}

// changedSince reports changes in contexts since that time. File times
// are coarse: files that are as old as that may be reported, too.
func (f *Files) changedSince(since time.Time) {
	t, found := f.tree, false
	report := func(p string, w *want) {
		if t.diff.direct[p] == nil {
			t.diff.direct[p] = map[*want]bool{}
		}
		t.diff.direct[p][w], found = true, true
	}
	for _, n := range t.nodes {
		for _, a := range n.actives {
			if a.want.kind != wantContext {
				continue
			}
			files := false
			for name, e := range n.entries {
				if p := path.Join(n.path, name); e.mode != 0 && !e.mode.IsDir() && !e.stamp.Settled(since) && a.accepts(p, false) {
					report(p, a.want)
					files = true
				}
			}
			if info, err := os.Lstat(t.abs(n.path)); !files && (err != nil || !content.StampOf(info).Settled(since)) {
				report(n.path, a.want) // a file in it was deleted
			}
		}
	}
	if found {
		now := time.Now()
		f.heard(now, now)
	}
}

// same reports whether these are the inputs and builds of the last Set.
func (f *Files) same(inputs []plan.Input, builds []plan.BuildSpec) bool {
	return f.named != nil && slices.EqualFunc(f.named, inputs, func(a, b plan.Input) bool { return a.Digest == b.Digest && sameInput(a, b) }) &&
		slices.EqualFunc(f.builds, builds, func(a, b plan.BuildSpec) bool {
			return a.Source == b.Source && a.Context == b.Context && a.Dockerfile == b.Dockerfile && sameCommand(a.Command, b.Command)
		})
}

// sameCommand reports whether commands depend on the same files.
func sameCommand(a, b *plan.BuildCommand) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Inputs, b.Inputs) && a.Output == b.Output
}

func sameInput(a, b plan.Input) bool {
	return a.Path == b.Path && a.Kind == b.Kind && slices.Equal(a.Exclude, b.Exclude)
}

// suspect marks w for examination because it differs from what an evaluation read.
func (f *Files) suspect(w *want) {
	f.tree.touch(w, "")
	now := time.Now()
	if len(w.hops) > 0 {
		h := w.hops[len(w.hops)-1]
		f.dirty(h.dir, h.name, 0, now, now)
	} else {
		f.heardAll(now)
	}
}

// replan computes the wants of the inputs again and applies them.
func (f *Files) replan() {
	inputs := make([]*input, 0, len(f.given))
	for _, in := range f.given {
		inputs = append(inputs, f.inputs[keyOf(in)])
	}
	wants := wanted(inputs, f.builds, f.patterns)
	changed := false
	for k, w := range wants {
		if was := f.tree.wants[k]; was != nil {
			was.inputs = w.inputs
			wants[k] = was
			continue
		}
		f.tree.resolve(w)
		changed = true
	}
	for k, w := range f.tree.wants {
		if k.kind == wantLinked {
			wants[k] = w // whether it is kept is decided below
			continue
		}
		if wants[k] == nil {
			changed = true
			f.tree.affect(w)
			delete(f.tree.diff.touched, w)
			delete(f.tree.diff.stale, w)
		}
	}
	f.tree.wants = wants
	if changed {
		f.tree.relink = true
		f.tree.rescope()
	}
}

// patterns returns the exclude patterns in the first of these files that exists.
func (f *Files) patterns(names ...string) []string {
	for _, name := range names {
		ig, ok := f.ignores[name]
		if !ok {
			ig = f.readIgnore(name, nil)
			f.ignores[name] = ig
		}
		if ig.digest != "" {
			return ig.patterns
		}
	}
	return nil
}

// readIgnore reads a .dockerignore. If it is invalid, the previous patterns apply:
// nothing can be built until it is fixed.
func (f *Files) readIgnore(name string, before []string) ignoreFile {
	w := &want{path: name}
	if w.resolve(f.tree.root); !w.found || w.dir {
		return ignoreFile{}
	}
	text, err := os.ReadFile(f.tree.abs(w.place))
	if err != nil {
		return ignoreFile{}
	}
	patterns, err := dockerignore.Parse(text)
	if err != nil {
		patterns = before
	}
	return ignoreFile{plan.DigestOf(text), patterns}
}
