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

// A reaction is what the change of a file needs of a service.
type reaction string

const (
	copies  reaction = "copy"    // the file is copied into the running containers
	builds  reaction = "build"   // the image is built
	nothing reaction = "nothing" // the image does not have the file
)

// A copyTarget is where one rule has a changed file copied.
type copyTarget struct {
	rule int    // the index of the rule
	to   string // the file in the container
	run  bool   // the rule's command runs afterwards
}

// An origin is what an image is built from, as paths below the workspace.
type origin struct {
	context string
	decides [3]string // files that say how it is built: the Dockerfile, and those that leave something out
}

func originOf(build plan.BuildSpec) origin {
	ignores := dockerignore.Names(build)
	return origin{
		context: path.Join(build.Source.Path, build.Context),
		decides: [3]string{path.Join(build.Source.Path, build.Dockerfile), ignores[0], ignores[1]},
	}
}

// has reports whether a file is one of the origin.
func (o origin) has(file string) bool {
	_, in := beneath(o.context, file)
	return in || slices.Contains(o.decides[:], file)
}

// match returns what the change of a file of an image's origin needs, and where
// it is copied by each rule that matches it. ignored says that .dockerignore
// leaves it out of the image, so that this is the same without it. What decides
// how the image is built is never copied.
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

// runsOn reports whether a command runs after the change of a path below that of
// its rule.
func runsOn(on []string, rest string) bool {
	return len(on) == 0 || slices.ContainsFunc(on, func(p string) bool {
		_, ok := beneath(p, rest)
		return ok
	})
}

// beneath returns what of a path is below a directory, or "" if it is the path
// itself.
func beneath(dir, file string) (rest string, ok bool) {
	switch dir = path.Clean(dir); dir {
	case ".":
		return file, true
	case file:
		return "", true
	}
	return strings.CutPrefix(file, dir+"/")
}

// ignored returns what tells whether a file of the workspace root is left out of
// the image of build. A .dockerignore that is not valid leaves nothing out: the
// build says what is wrong with it.
func ignored(root string, build plan.BuildSpec) func(file string) bool {
	names := dockerignore.Names(build)
	from := names[:]
	if build.Dockerfile == "" {
		from = names[1:]
	}
	for _, name := range from {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			continue
		}
		patterns, err := dockerignore.Parse(text)
		if err != nil {
			break
		}
		m, err := dockerignore.New(patterns)
		if err != nil {
			break
		}
		context := originOf(build).context
		return func(file string) bool {
			rest, in := beneath(context, file)
			return in && rest != "" && leftOut(m, rest)
		}
	}
	return func(string) bool { return false }
}

// leftOut reports whether a path below a context is left out of it.
func leftOut(m *dockerignore.Matcher, file string) (out bool) {
	var state dockerignore.State
	for i, c := range file + "/" {
		if c == '/' {
			out, state = m.Out(file[:i], state)
		}
	}
	return out
}

// A need is what changes need of one service.
type need struct {
	files  []string // those that are of its image's origin
	build  bool     // the image is built
	update runtime.SyncUpdate
}

// needOf returns what the changes of files need of a service whose image is built
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
