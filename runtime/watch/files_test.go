package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
)

// A space is a workspace that is watched with the system's own notifications.
type space struct {
	testing.TB
	dir   string
	files *Files
	real  bool // events come from the system
	marks int
}

// newSpace makes a workspace of files, given as names and contents.
func newSpace(t *testing.T, opts FileOptions, files ...string) *space {
	t.Helper()
	s := &space{TB: t, dir: t.TempDir()}
	for i := 0; i < len(files); i += 2 {
		s.write(files[i], files[i+1])
	}
	f, err := OpenFiles(s.dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	s.files, s.real = f, opts.open == nil
	return s
}

// do does something to files. Nothing is looked at until all that it did was
// heard, so that what changes is one change however busy the machine is.
func (s *space) do(act func() error) {
	s.Helper()
	if !s.real {
		s.ok(act())
		return
	}
	s.marks++
	mark := fmt.Sprintf("mark%d", s.marks)
	result := make(chan error, 1)
	select {
	case s.files.calls <- func() {
		err := errors.Join(act(), os.WriteFile(s.path(mark), nil, 0o644))
		e := s.files.ear
		for heard := err != nil || s.files.tree.nodes["."] == nil; !heard; {
			<-e.wake
			e.mu.Lock()
			_, heard = e.events[s.files.tree.abs(mark)]
			e.mu.Unlock()
		}
		e.call()
		result <- err
	}:
		s.ok(<-result)
	case <-s.files.stop:
		s.Fatal("closed")
	}
}

func (s *space) rename(from, to string) {
	s.Helper()
	s.do(func() error { return os.Rename(s.path(from), s.path(to)) })
}

func (s *space) remove(name string) {
	s.Helper()
	s.do(func() error { return os.RemoveAll(s.path(name)) })
}

func (s *space) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *space) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *space) write(name, text string) {
	s.Helper()
	s.do(func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(s.path(name)), 0o755), os.WriteFile(s.path(name), []byte(text), 0o644))
	})
}

// set watches inputs, given as kinds and paths: "file a.yaml". Those of files
// have the digests that they have now.
func (s *space) set(builds []plan.BuildSpec, inputs ...string) {
	s.Helper()
	s.ok(s.files.Set(s.inputs(inputs...), builds))
}

func (s *space) inputs(inputs ...string) (out []plan.Input) {
	s.Helper()
	for _, in := range inputs {
		kind, p, _ := strings.Cut(in, " ")
		i := plan.Input{Path: p, Kind: plan.InputKind(kind)}
		if data, err := os.ReadFile(s.path(p)); err == nil {
			i.Digest = plan.DigestOf(data)
		}
		out = append(out, i)
	}
	return out
}

// next returns the next change.
func (s *space) next() Change {
	s.Helper()
	select {
	case c := <-s.files.Changes():
		return c
	case <-time.After(time.Minute):
		s.Fatal("no change within a minute")
	}
	return Change{}
}

// want checks that the next change is of paths and inputs, as of set.
func (s *space) want(paths string, inputs ...string) {
	s.Helper()
	c := s.next()
	var got []string
	for _, in := range c.Inputs {
		got = append(got, string(in.Kind)+" "+in.Path)
	}
	slices.Sort(inputs)
	slices.Sort(got)
	if diff := cmp.Diff(strings.Fields(paths), c.Paths); diff != "" {
		s.Errorf("Paths: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(inputs, got); diff != "" {
		s.Errorf("Inputs: -want +got\n%s", diff)
	}
}

func TestFile(t *testing.T) {
	s := newSpace(t, FileOptions{}, "Pipelinefile", "a", "other", "x", "conf/a.yaml", "1")
	s.set(nil, "module Pipelinefile", "values conf/a.yaml", "file conf/none.yaml", "file no/where.txt")
	s.write("other", "y")
	s.write("Pipelinefile", "a") // no other content
	s.write("conf/a.yaml", "2")
	s.want("conf/a.yaml", "values conf/a.yaml")
	s.write("conf/none.yaml", "")
	s.want("conf/none.yaml", "file conf/none.yaml")
	s.write("no/where.txt", "")
	s.want("no/where.txt", "file no/where.txt")
	s.remove("no")
	s.want("no/where.txt", "file no/where.txt")
	s.rename("conf", "conf2")
	s.want("conf/a.yaml conf/none.yaml", "values conf/a.yaml", "file conf/none.yaml")
	s.rename("conf2", "conf")
	s.want("conf/a.yaml conf/none.yaml", "values conf/a.yaml", "file conf/none.yaml")
	s.write("Pipelinefile", "b")
	s.want("Pipelinefile", "module Pipelinefile")
}

func TestContext(t *testing.T) {
	s := newSpace(t, FileOptions{}, "api/Dockerfile", "FROM scratch", "api/main.go", "1", "api/node_modules/x/y.js", "1", "api/.dockerignore", "node_modules\n!node_modules/keep\n")
	builds := []plan.BuildSpec{{Source: plan.Source{Path: "api"}, Context: ".", Dockerfile: "Dockerfile"}}
	s.set(builds, "context api", "dockerfile api/Dockerfile")
	s.write("api/node_modules/x/y.js", "2")
	s.write("api/main.go", "2")
	s.want("api/main.go", "context api")
	s.write("api/sub/dir/x.go", "2")
	s.want("api/sub api/sub/dir api/sub/dir/x.go", "context api")
	s.rename("api/sub", "api/bus")
	s.want("api/bus api/bus/dir api/bus/dir/x.go api/sub api/sub/dir api/sub/dir/x.go", "context api")
	s.write("api/bus/dir/x.go", "3")
	s.want("api/bus/dir/x.go", "context api")
	s.write("api/Dockerfile", "FROM x")
	s.want("api/Dockerfile", "context api", "dockerfile api/Dockerfile")
	s.do(func() error { return os.Chmod(s.path("api/main.go"), 0o755) })
	s.want("api/main.go", "context api")
	s.write("api/node_modules/keep", "2")
	s.want("api/node_modules/keep", "context api")
	s.write("api/.dockerignore", "bus\n")
	s.want("api/.dockerignore", "context api")
	s.write("api/bus/dir/x.go", "4")
	s.write("api/node_modules/x/y.js", "3")
	s.want("api/node_modules/x/y.js", "context api")
	s.remove("api")
	c := s.next()
	if !slices.Contains(c.Paths, "api") || !slices.Contains(c.Paths, "api/node_modules/x/y.js") || slices.Contains(c.Paths, "api/bus/dir/x.go") {
		t.Errorf("removed: %q", c.Paths)
	}
}

// TestWorkspaceAgain: a workspace that is deleted and made again at its path is
// watched again, although nothing above it is.
func TestWorkspaceAgain(t *testing.T) {
	s := newSpace(t, FileOptions{}, "ws/Pipelinefile", "a", "ws/conf/a.yaml", "1")
	top := s.dir
	f, err := OpenFiles(s.path("ws"), FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ws := &space{TB: t, dir: filepath.Join(top, "ws"), files: f}
	ws.set(nil, "module Pipelinefile", "values conf/a.yaml")
	write := func(name, text string) {
		t.Helper()
		ws.ok(errors.Join(os.MkdirAll(filepath.Dir(ws.path(name)), 0o755), os.WriteFile(ws.path(name), []byte(text), 0o644)))
	}
	// until takes changes until one is of that path.
	until := func(path string) {
		t.Helper()
		for !slices.Contains(ws.next().Paths, path) {
		}
	}
	for range 2 {
		ws.ok(os.RemoveAll(ws.dir))
		until("conf/a.yaml")
		write("Pipelinefile", "b")
		write("conf/a.yaml", "2")
		until("conf/a.yaml")
		write("conf/a.yaml", "3")
		until("conf/a.yaml")
	}
}
