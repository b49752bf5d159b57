package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pipelinefile/pipe/plan"
)

// TestReplay replays the system calls that editors and tools were seen to make,
// in testdata/saves. However many these are, what they did is one change, of the
// files that have other content after.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/saves/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			setup := []string{"end", ""}
			for _, f := range a.Files {
				setup = append(setup, f.Name, string(f.Data))
			}
			s := newSpace(t, FileOptions{}, setup...)
			s.set([]plan.BuildSpec{{Source: plan.Source{Path: "src"}, Context: ".", Dockerfile: "Dockerfile"}}, "context src", "file src/main.go", "file end")
			s.inspect(func(*Files) {})

			r := replay{space: s, open: map[string]*os.File{}}
			s.do(func() error { return r.all(string(a.Comment)) })
			want := strings.Join(r.want, " ")
			if want != "" {
				c := s.next()
				if got := strings.Join(c.Paths, " "); got != want {
					t.Errorf("changed are %s, want %s", got, want)
				}
				if c.Head != r.head {
					t.Errorf("Head = %v, want %v", c.Head, r.head)
				}
				inputs := "context src, file src/main.go"
				if got := fmt.Sprintf("%s %s, %s %s", c.Inputs[0].Kind, c.Inputs[0].Path, c.Inputs[1].Kind, c.Inputs[1].Path); len(c.Inputs) != 2 || got != inputs {
					t.Errorf("inputs are %v, want %s", c.Inputs, inputs)
				}
			}
			s.write("end", "1")
			s.want("end", "file end")
		})
	}
}

// A replay carries out recorded system calls, in the form of strace without what
// does not change files.
type replay struct {
	*space
	open map[string]*os.File
	want []string // paths
	head bool
}

// all carries out a recording.
func (r *replay) all(text string) error {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "want":
			r.want = strings.Fields(rest)
		case "head":
			r.head = true
		default:
			if err := r.call(line); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
	}
	return nil
}

func (r *replay) call(line string) error {
	words := strings.Fields(line)
	if len(words) > 3 && words[1] == "=" && words[2] == "open" {
		return r.openFile(words[0], words[3], words[4], words[5])
	}
	switch words[0] {
	case "write":
		text, err := strconv.Unquote(strings.SplitN(line, " ", 3)[2])
		if err != nil {
			return err
		}
		_, err = r.open[words[1]].Write([]byte(text))
		return err
	case "close":
		return r.open[words[1]].Close()
	case "ftruncate":
		n, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return err
		}
		return r.open[words[1]].Truncate(n)
	case "fchmod":
		mode, err := strconv.ParseUint(words[2], 8, 32)
		if err != nil {
			return err
		}
		return r.open[words[1]].Chmod(os.FileMode(mode & 0o777))
	case "chmod":
		mode, err := strconv.ParseUint(words[2], 8, 32)
		if err != nil {
			return err
		}
		return os.Chmod(r.path(words[1]), os.FileMode(mode&0o777))
	case "rename":
		return os.Rename(r.path(words[1]), r.path(words[2]))
	case "unlink", "rmdir":
		return os.Remove(r.path(words[1]))
	case "mkdir":
		return os.Mkdir(r.path(words[1]), 0o777)
	case "utimens":
		info, err := os.Stat(r.path(words[1]))
		if err != nil {
			return err
		}
		return os.Chtimes(r.path(words[1]), info.ModTime(), info.ModTime())
	}
	return fmt.Errorf("%s is not known", words[0])
}

// openFile opens a file. One below MOUNT is src by another path, as a container
// has it.
func (r *replay) openFile(as, name, flags, mode string) error {
	n := 0
	for _, f := range strings.Split(flags, "|") {
		bit, ok := map[string]int{
			"O_WRONLY": os.O_WRONLY, "O_RDWR": os.O_RDWR, "O_CREAT": os.O_CREATE, "O_EXCL": os.O_EXCL, "O_TRUNC": os.O_TRUNC, "O_APPEND": os.O_APPEND,
		}[f]
		if !ok {
			return fmt.Errorf("%s is not known", f)
		}
		n |= bit
	}
	perm, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return err
	}
	file := r.path(name)
	if rest, ok := strings.CutPrefix(name, "MOUNT/"); ok {
		if file = filepath.Join(r.dir+".mount", rest); !isLink(r.dir + ".mount") {
			if err := os.Symlink(r.path("src"), r.dir+".mount"); err != nil {
				return err
			}
		}
	}
	r.open[as], err = os.OpenFile(file, n, os.FileMode(perm))
	return err
}

func isLink(file string) bool {
	info, err := os.Lstat(file)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}
