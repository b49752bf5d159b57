package builtins

import (
	"path"
	"strings"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A mountPoint is a path in the container where an argument of a service mounts something.
type mountPoint struct {
	path   string
	what   string // such as "a volume"
	sealed bool   // nothing can be mounted below it, as the container could not make the mount point
	dir    string // the directory of files that it is in, which is mounted as a whole
	param  string
	at     any // the place in the argument; nil: the argument itself
}

// mountPoints checks that nothing is mounted twice at a path, or within a file or a
// directory of files (D10).
func (c *Call) mountPoints(a *common) {
	if len(a.Files) == 0 {
		return
	}
	var points []mountPoint
	for i, v := range a.Volumes {
		points = append(points, mountPoint{path: v.path(), what: "a volume", param: "volumes", at: i})
	}
	dir := ""
	for _, f := range a.Files {
		switch {
		case f.Dir == "":
			points = append(points, mountPoint{path: f.Path, what: "a file", sealed: true, param: "files", at: explain.Key(f.Path)})
		case f.Dir != dir:
			dir = f.Dir
			points = append(points, mountPoint{path: dir, what: "a directory of files", sealed: true, param: "files", at: explain.Key(dir)})
		}
		if f.Dir != "" {
			name := strings.TrimPrefix(f.Path, f.Dir+"/")
			points = append(points, mountPoint{path: f.Path, what: "a file", sealed: true, dir: f.Dir, param: "files", at: []any{f.Dir, explain.Key(name)}})
		}
	}
	c.distinct(points)
}

// dataFiles checks that no file hides the data of a database, which are at data.
func (c *Call) dataFiles(files []plan.File, data string) {
	for _, f := range files {
		at := f.Dir
		if at == "" {
			at = f.Path
		}
		if at == data {
			c.wrong("files", explain.Errorf("the database keeps its data there").In(explain.Key(at)))
		}
	}
}

// distinct reports the first contradiction of mount points.
func (c *Call) distinct(points []mountPoint) {
	at := make(map[string]mountPoint, len(points))
	for _, p := range points {
		if first, taken := at[p.path]; taken {
			c.twoMounts(p, first, explain.Errorf("%q is %s and %s", explain.Clip(p.path), p.what, first.what).WithHint("mount one of them elsewhere"))
			return
		}
		at[p.path] = p
	}
	for _, p := range points {
		for dir := path.Dir(p.path); dir != "/" && dir != "."; dir = path.Dir(dir) {
			outer, is := at[dir]
			if !is || !outer.sealed || dir == p.dir {
				continue
			}
			hint := "mount one of them elsewhere"
			if p.param == "files" && outer.what != "a file" {
				hint = "write it in the dict of the directory"
			}
			c.twoMounts(p, outer, explain.Errorf("%q is within %q, which is %s", explain.Clip(p.path), explain.Clip(outer.path), outer.what).WithHint("%s", hint))
			return
		}
	}
}

// twoMounts reports an error about p and another mount point.
func (c *Call) twoMounts(p, other mountPoint, e *explain.Error) {
	if !c.Valid(p.param) || !c.Valid(other.param) {
		return
	}
	c.rejectAt(p.param, e.In(p.at), plan.Related{Pos: c.ArgPos(other.param, other.at), Message: "the other one is here"})
}
