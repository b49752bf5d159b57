package builtins

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Sync is the value of sync().
type Sync struct {
	opaque
	plan plan.Sync
}

// String returns the call that makes it, without keyword arguments.
func (s *Sync) String() string {
	return "sync(" + strconv.Quote(s.plan.Path) + ", " + strconv.Quote(s.plan.To) + ")"
}

// Type returns "sync".
func (s *Sync) Type() string { return "sync" }

type syncArgs struct {
	Path    string   `arg:"path" help:"a file or directory of what the image is built from, relative to the file of the call"`
	To      string   `arg:"to" help:"where it is in the container, absolute"`
	Run     []string `arg:"run,kw" default:"[]" help:"a command that runs in the container after files were copied, such as [\"npm\", \"install\"]"`
	On      []string `arg:"on,kw" default:"[]" help:"files and directories below path: the command runs only after one of them has changed; after each change if empty"`
	Restart bool     `arg:"restart,kw" default:"False" help:"restart the container, so that its program starts with the changed files"`
}

var syncFunc = declare("sync", "sync", "Declares files that watch mode copies into running containers instead of building the image. Other commands ignore it.",
	func(c *Call, a *syncArgs) (starlark.Value, error) {
		s := &Sync{plan: plan.Sync{To: path.Clean(a.To), Run: a.Run, Restart: a.Restart, Pos: c.Pos()}}
		if c.Valid("path") {
			var p *explain.Error
			if s.plan.Path, p = c.resolve(a.Path); p == nil {
				if _, err := c.Session.Files.stat(s.plan.Path); err != nil {
					p = c.Session.Files.problem(s.plan.Path, err)
				}
			}
			c.wrong("path", p)
		}
		if c.Valid("to") && (!path.IsAbs(a.To) || s.plan.To == "/" || strings.ContainsRune(a.To, 0)) {
			c.wrong("to", explain.Errorf("%q is not a valid path in the container: it must be absolute, and not the root", explain.Clip(a.To)).WithHint(`write, for example, "/app/src"`))
		}
		if len(a.Run) == 1 && strings.ContainsRune(a.Run[0], ' ') {
			c.wrong("run", explain.Errorf("%q is a program and its arguments in one string", explain.Clip(a.Run[0])).WithHint("write run = [%s]", explain.Clip(explain.Literals(explain.ShellWords(a.Run[0])))))
		}
		if len(a.Run) > 0 && a.Run[0] == "" {
			c.wrong("run", explain.Errorf("the name of the program is empty"))
		}
		for i, on := range a.On {
			clean, p := below(on, "the path of the rule, to which it is relative")
			if on == "" {
				p = explain.Errorf("is empty").WithHint(`write, for example, "package.json"`)
			}
			if p != nil {
				c.wrong("on", p.In(i))
			}
			s.plan.On = append(s.plan.On, clean)
		}
		if len(a.On) > 0 && len(a.Run) == 0 && c.Valid("run") {
			c.wrong("on", explain.Errorf("is given, but run= is not").WithHint(`add run = ["npm", "install"]`))
		}
		return s, nil
	})

// maxSyncs is the maximum number of rules of a service, because they are compared
// pairwise.
const maxSyncs = 100

// syncs sets the rules of a service, which must refer to files of its image.
func (c *Call) syncs(s *Service, rules []*Sync) {
	if len(rules) == 0 || !c.Valid("sync") {
		return
	}
	if !c.Valid("source") || !c.Valid("build") || !c.Valid("image") {
		return // the source of the image is not known
	}
	build := (*plan.BuildSpec)(nil)
	if s.Image != nil {
		build = s.Image.Build
	}
	switch {
	case build == nil:
		c.wrong("sync", explain.Errorf("the image is not built here, so there are no files to copy").WithHint("remove sync=, or build the image with source="))
		return
	case build.Source.Git != "":
		c.wrong("sync", explain.Errorf("the image is built from a git repository, so there are no files here to copy").WithHint("remove sync=, or build from the workspace with source = local(…)"))
		return
	case len(rules) > maxSyncs:
		c.wrong("sync", explain.Errorf("has %d rules, at most %d are possible", len(rules), maxSyncs))
		return
	}
	_ = c.Session.Meter.Charge(uint64(len(rules) * len(rules)))
	context := path.Join(build.Source.Path, build.Context)
	for n, r := range rules {
		s.Plan.Sync = append(s.Plan.Sync, r.plan)
		if r.plan.Path == "" {
			continue // it is invalid, which was reported
		}
		if _, ok := inside(context, r.plan.Path); !ok {
			c.rejectAt("sync", explain.Errorf("%s is not below %s, which the image is built from", r.plan.Path, context).
				In(n).WithHint("the image only contains files of its build context"))
			continue
		}
		for m, other := range rules[:n] {
			what := ""
			if other.plan.Path == "" {
				continue
			}
			_, below := inside(other.plan.Path, r.plan.Path)
			_, above := inside(r.plan.Path, other.plan.Path)
			switch {
			case below || above:
				what = fmt.Sprintf("both copy %s", deeper(r.plan.Path, other.plan.Path))
			case r.plan.To == other.plan.To:
				what = "both copy to " + r.plan.To
			default:
				continue
			}
			c.rejectAt("sync", explain.Errorf("this rule and sync[%d] %s", m, what).In(n).WithHint("combine them into one rule, or give each its own directory"),
				plan.Related{Pos: c.ArgPos("sync", m), Message: fmt.Sprintf("sync[%d] is here", m)})
			break
		}
	}
}

// inside returns the part of a clean path below a directory, or "" if it is the directory
// itself.
func inside(dir, p string) (rest string, ok bool) {
	switch dir {
	case ".":
		return p, true
	case p:
		return "", true
	}
	return strings.CutPrefix(p, dir+"/")
}

// deeper returns the longer of two paths, one of which contains the other.
func deeper(a, b string) string {
	if len(a) > len(b) {
		return a
	}
	return b
}
