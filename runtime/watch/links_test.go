package watch

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

func (s *space) link(target, name string) {
	s.Helper()
	s.do(func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(s.path(name)), 0o755), os.Symlink(target, s.path(name)))
	})
}

// relink replaces a link as a whole.
func (s *space) relink(target, name string) {
	s.Helper()
	s.do(func() error {
		return errors.Join(os.Symlink(target, s.path(name)+".new"), os.Rename(s.path(name)+".new", s.path(name)))
	})
}

// TestLinks: of an input with symbolic links on its way, the links count and what
// they lead to.
func TestLinks(t *testing.T) {
	s := newSpace(t, FileOptions{}, "v1/conf.yaml", "1", "v2/conf.yaml", "1", "v3/conf.yaml", "3", "real/src/x", "1", "end", "")
	s.link("v1", "cur")
	s.link("../cur/conf.yaml", "app/conf.yaml")
	s.link("real/src", "src")
	s.link("/etc", "out")
	s.link("loop", "loop")
	s.link(s.path("v1/conf.yaml"), "absolute")
	s.set([]plan.BuildSpec{{Source: plan.Source{Path: "src"}, Context: ".", Dockerfile: "Dockerfile"}},
		"file app/conf.yaml", "context src", "file loop", "file absolute", "file end")
	s.write("v1/conf.yaml", "2")
	s.want("absolute app/conf.yaml v1/conf.yaml", "file app/conf.yaml", "file absolute")
	s.relink("v2", "cur") // other content
	s.want("app/conf.yaml cur", "file app/conf.yaml")
	s.write("v1/conf.yaml", "3")
	s.want("absolute v1/conf.yaml", "file absolute")
	s.write("v2/conf.yaml", "3")
	s.want("app/conf.yaml v2/conf.yaml", "file app/conf.yaml")
	s.relink("v3", "cur") // the same content
	s.write("end", "1")
	s.want("end", "file end")
	s.write("v3/conf.yaml", "4")
	s.want("app/conf.yaml v3/conf.yaml", "file app/conf.yaml")
	s.remove("app/conf.yaml")
	s.want("app/conf.yaml", "file app/conf.yaml")
	s.write("app/conf.yaml", "5")
	s.want("app/conf.yaml", "file app/conf.yaml")

	s.write("real/src/x", "2")
	s.want("real/src/x src/x", "context src")
	s.write("real/src/sub/y", "2")
	s.want("real/src/sub real/src/sub/y src/sub src/sub/y", "context src")
	s.write("other/x", "2")
	s.relink("other", "src")
	s.want("other/x src src/x", "context src")
	s.write("other/x", "3")
	s.want("other/x src/x", "context src")
	s.write("real/src/x", "3") // nobody's any more
	s.link("../real", "other/link")
	s.want("other/link src/link", "context src")
	s.relink("../v1", "other/link")
	s.want("other/link src/link", "context src")
	s.remove("loop")
	s.write("loop", "x")
	s.want("loop", "file loop")
}

// TestChart: all files of a chart count, and what links in it lead to.
func TestChart(t *testing.T) {
	s := newSpace(t, FileOptions{}, "end", "", "ch/Chart.yaml", "name: a", "ch/templates/a.yaml", "1", "common/_helpers.tpl", "1", "lib/x.yaml", "1", "lib/more/y.yaml", "1")
	s.link("../../common/_helpers.tpl", "ch/templates/_helpers.tpl")
	s.link("../lib", "ch/lib")
	s.link("..", "ch/up")
	s.set(nil, "chart ch", "file end")
	s.want("ch", "chart ch") // it has no digest here
	s.write("ch/templates/a.yaml", "2")
	s.want("ch/templates/a.yaml", "chart ch")
	s.write("common/_helpers.tpl", "2")
	s.want("ch/templates/_helpers.tpl common/_helpers.tpl", "chart ch")
	s.write("lib/more/y.yaml", "2")
	s.want("ch/lib/more/y.yaml lib/more/y.yaml", "chart ch")
	s.write("lib/more/z.yaml", "2")
	s.want("ch/lib/more/z.yaml lib/more/z.yaml", "chart ch")
	s.write("common/other", "2") // nobody's
	s.do(func() error { return os.Mkdir(s.path("ch/empty"), 0o755) })
	s.do(func() error { return os.Chmod(s.path("ch/Chart.yaml"), 0o755) })
	s.write("end", "1")
	s.want("end", "file end")
	s.remove("ch/lib")
	s.want("ch/lib", "chart ch")
	s.write("lib/more/y.yaml", "3")
	s.write("ch/templates/b.yaml", "2")
	s.want("ch/templates/b.yaml", "chart ch")
	s.remove("ch")
	s.want("ch/Chart.yaml ch/templates/_helpers.tpl ch/templates/a.yaml ch/templates/b.yaml ch/up", "chart ch")
}

// TestGlob: a glob changes with the names that match, not with their content, and
// nothing is watched that it leaves out or cannot match.
func TestGlob(t *testing.T) {
	s := newSpace(t, FileOptions{}, "end", "", "conf/a.yaml", "1", "conf/node_modules/x/y.yaml", "1", "src/x.go", "1", "deep/a/b/c/d.txt", "1")
	in := append(s.inputs("glob not/there/*.json", "glob deep/*/*.txt", "file end"),
		plan.Input{Path: "conf/**/*.yaml", Kind: plan.InputGlob, Exclude: []string{"**/node_modules"}, Digest: plan.DigestOf([]byte("conf/a.yaml"))})
	in[0].Digest, in[1].Digest = plan.DigestOf(nil), plan.DigestOf(nil)
	s.ok(s.files.Set(in, nil))
	s.inspect(func(f *Files) {
		for _, p := range []string{"conf/node_modules", "src", "deep/a/b"} {
			if f.tree.nodes[p] != nil {
				t.Errorf("%s is watched", p)
			}
		}
	})
	s.write("conf/a.yaml", "2")
	s.write("conf/node_modules/x/z.yaml", "2")
	s.write("conf/x.json", "2")
	s.write("end", "1")
	s.want("end", "file end")
	s.write("conf/sub/b.yaml", "2")
	s.want("conf/sub/b.yaml", "glob conf/**/*.yaml")
	s.rename("conf/a.yaml", "conf/a.yml")
	s.want("conf/a.yaml", "glob conf/**/*.yaml")
	s.write("not/there/x.json", "1")
	s.want("not/there/x.json", "glob not/there/*.json")
	s.write("deep/b/x.txt", "1")
	s.want("deep/b/x.txt", "glob deep/*/*.txt")
	s.rename("conf", "conf2")
	s.want("conf/sub/b.yaml", "glob conf/**/*.yaml")
	s.rename("conf2", "conf")
	s.want("conf/sub/b.yaml", "glob conf/**/*.yaml")
}
