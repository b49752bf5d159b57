package reach

import (
	"path"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// A Reaction is what the change of a file of a service's sources needs.
type Reaction string

// The reactions to a change.
const (
	Copies Reaction = "copy"    // the file is copied into the running containers
	Builds Reaction = "build"   // the image is built
	None   Reaction = "nothing" // the image does not have the file
)

// A SyncTarget is where one rule has a changed file copied.
type SyncTarget struct {
	Rule int    // the index of the rule
	To   string // the file in the container
	Run  bool   // the rule's command runs afterwards
}

// Match returns what the change of a file needs, and where it is copied by each
// rule that matches it. The file is a slash-separated path below the workspace.
// ignored says that .dockerignore leaves it out of the image of build, so that the
// image is the same without it. What decides how the image is built is never
// copied.
func Match(build plan.BuildSpec, rules []plan.Sync, file string, ignored bool) (Reaction, []SyncTarget) {
	dockerfile := path.Join(build.Source.Path, build.Dockerfile)
	decides := []string{dockerfile, dockerfile + ".dockerignore", path.Join(build.Source.Path, build.Context, ".dockerignore")}
	switch {
	case slices.Contains(decides, file):
		return Builds, nil
	case ignored:
		return None, nil
	}
	var targets []SyncTarget
	for i, rule := range rules {
		rest, ok := below(rule.Path, file)
		if !ok {
			continue
		}
		targets = append(targets, SyncTarget{Rule: i, To: path.Join(rule.To, rest), Run: len(rule.Run) > 0 && runsOn(rule.On, rest)})
	}
	if len(targets) == 0 {
		return Builds, nil
	}
	return Copies, targets
}

// runsOn reports whether a command runs after the change of a path below that of
// its rule.
func runsOn(on []string, rest string) bool {
	return len(on) == 0 || slices.ContainsFunc(on, func(p string) bool {
		_, ok := below(p, rest)
		return ok
	})
}

// below returns what of a path is below a directory, or "" if it is the path
// itself.
func below(dir, file string) (rest string, ok bool) {
	if dir = path.Clean(dir); dir == "." {
		return file, true
	}
	if dir == file {
		return "", true
	}
	return strings.CutPrefix(file, dir+"/")
}
