package watch

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/dockerignore"
)

// A reaction is what a service must do about a changed file.
type reaction string

const (
	copies  reaction = "copy"    // the file is copied into the running containers
	builds  reaction = "build"   // the image is built
	nothing reaction = "nothing" // the image does not contain the file
)

// A copyTarget is the destination of a changed file according to one rule.
type copyTarget struct {
	rule int    // the index of the rule
	to   string // the file in the container
	run  bool   // the rule's command runs afterwards
}

// An origin is what an image is built from, as paths relative to the workspace.
type origin struct {
	context string
	decides [3]string // files that decide how it is built: the Dockerfile and the ignore files
}

func originOf(build plan.BuildSpec) origin {
	ignores := dockerignore.Names(build)
	return origin{
		context: path.Join(build.Source.Path, build.Context),
		decides: [3]string{path.Join(build.Source.Path, build.Dockerfile), ignores[0], ignores[1]},
	}
}

// has reports whether a file belongs to the origin.
func (o origin) has(file string) bool {
	_, in := beneath(o.context, file)
	return in || slices.Contains(o.decides[:], file)
}

// match returns the reaction to a changed file of an image's origin, and its
// destination for each rule that matches it. ignored reports that .dockerignore
// excludes the file, so that it does not affect the image. Files that decide
// how the image is built are never copied.
func match(from origin, rules []plan.Sync, file string, ignored bool) (reaction, []copyTarget) {
	switch {
	case file == from.context, slices.Contains(from.decides[:], file):
		return builds, nil
	case ignored:
		return nothing, nil
	}
	var targets []copyTarget
	for i, rule := range rules {
		rest, ok := beneath(rule.Path, file)
		if !ok {
			continue
		}
		targets = append(targets, copyTarget{rule: i, to: path.Join(rule.To, rest), run: len(rule.Run) > 0 && runsOn(rule.On, rest)})
	}
	if len(targets) == 0 {
		return builds, nil
	}
	return copies, targets
}

// runsOn reports whether the command of a rule runs after a change of rest, a path
// relative to that of the rule.
func runsOn(on []string, rest string) bool {
	return len(on) == 0 || slices.ContainsFunc(on, func(p string) bool {
		_, ok := beneath(p, rest)
		return ok
	})
}

// beneath returns the path of a file relative to a directory, or "" if it is the
// directory itself.
func beneath(dir, file string) (rest string, ok bool) {
	switch dir = path.Clean(dir); dir {
	case ".":
		return file, true
	case file:
		return "", true
	}
	return strings.CutPrefix(file, dir+"/")
}

// ignored returns a function that reports whether a file of the workspace root is
// excluded from the image of build. An invalid .dockerignore excludes nothing: the
// build reports its error.
func ignored(root string, build plan.BuildSpec) func(file string) bool {
	patterns, err := dockerignore.Patterns(build, func(names ...string) ([]string, error) {
		for _, name := range names {
			if text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name))); err == nil {
				return dockerignore.Parse(text)
			}
		}
		return nil, nil
	})
	m, invalid := dockerignore.New(patterns)
	if err != nil || invalid != nil || len(patterns) == 0 {
		return func(string) bool { return false }
	}
	context := originOf(build).context
	return func(file string) bool {
		rest, in := beneath(context, file)
		return in && rest != "" && leftOut(m, rest)
	}
}

// leftOut reports whether a path in a context is excluded.
func leftOut(m *dockerignore.Matcher, file string) (out bool) {
	var state dockerignore.State
	for i, c := range file + "/" {
		if c == '/' {
			out, state = m.Out(file[:i], state)
		}
	}
	return out
}

// A need is what changes require for one service.
type need struct {
	files  []string // the changed files of its image's origin
	build  bool     // the image must be built
	update runtime.SyncUpdate
}

// needOf returns what changes of files require for a service whose image is built
// from build.
func needOf(root string, build plan.BuildSpec, s *plan.Service, files []string) (n need) {
	from := originOf(build)
	for _, file := range files {
		if from.has(file) {
			n.files = append(n.files, file)
		}
	}
	if len(n.files) == 0 {
		return n
	}
	out := ignored(root, build)
	runs := make([]bool, len(s.Sync)) // the command of the rule
	for _, file := range n.files {
		react, targets := match(from, s.Sync, file, out(file))
		n.build = n.build || react == builds
		for _, t := range targets {
			n.update.Changes = append(n.update.Changes, runtime.SyncChange{Path: filepath.Join(root, filepath.FromSlash(file)), To: t.to})
			n.update.Restart = n.update.Restart || s.Sync[t.rule].Restart
			runs[t.rule] = runs[t.rule] || t.run
		}
	}
	for i, run := range runs {
		if run {
			n.update.Run = append(n.update.Run, s.Sync[i].Run)
		}
	}
	return n
}
