package watch

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// A fake is a source whose events the test makes.
type fake struct {
	ear  *ear
	mu   sync.Mutex
	dirs map[string]bool
	err  func(dir string) error // nil: all can be watched
}

func (f *fake) add(dir string) error {
	if f.err != nil {
		if err := f.err(dir); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(dir); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirs[dir] = true
	return nil
}

func (f *fake) remove(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.dirs, dir)
}

func (f *fake) close() error { return nil }

// opener returns the option that opens f.
func (f *fake) opener() func(*ear) (source, error) {
	return func(e *ear) (source, error) {
		f.ear, f.dirs = e, map[string]bool{}
		return f, nil
	}
}

// TestGather: when what was written is reported, in virtual time (W2).
func TestGather(t *testing.T) {
	every := func(step, to time.Duration, path string) (out []string) {
		for at := time.Duration(0); at <= to; at += step {
			out = append(out, at.String()+" write "+path)
		}
		return out
	}
	for _, test := range []struct {
		name string
		acts []string // when, what, path
		want []string // when, paths
	}{
		{"one write", []string{"0s write a"}, []string{"50ms a"}},
		{"a truncation, then the content", []string{"0s write a", "5ms write a"}, []string{"55ms a"}},
		{"two saves", []string{"0s write a", "60ms write a"}, []string{"50ms a", "110ms a"}},
		{"written again and again", []string{"0s write a", "40ms write a", "80ms write a"}, []string{"280ms a"}},
		{"two files", []string{"0s write a", "10ms write b"}, []string{"210ms a b"}},
		{"many files", []string{"0s write a", "10ms write b", "190ms write c/x", "380ms write c/y"}, []string{"580ms a b c/x c/y"}},
		{"a writer that does not end", every(40*time.Millisecond, 2500*time.Millisecond, "a"), []string{"2s a", "2.68s a"}},
		{"another's file does not matter", append(every(40*time.Millisecond, 500*time.Millisecond, "out/log"), "0s write a"), []string{"50ms a"}},
		{"replaced by a rename", []string{"0s write c/new", "3ms gone c/new", "3ms write c/x"}, []string{"53ms c/x"}},
		{"came and went", []string{"0s write c/new", "3ms gone c/new"}, nil},
		{"touched", []string{"0s touch a", "10ms touch c/x"}, nil},
		{"saved without a change", []string{"0s same a"}, nil},
		{"changed and changed back", []string{"0s write a", "10ms back a"}, nil},
		{"a new directory", []string{"0s mkdir c/d", "100ms write c/d/e"}, []string{"300ms c/d c/d/e"}},
		{"left alone with a temporary name", []string{"0s write c/x~"}, []string{"2s c/x~"}},
		{"a temporary name does not hold up others", []string{"0s write c/x~", "20ms write c/x~", "0s write a"}, []string{"50ms a", "2.02s c/x~"}},
		{"a backup that stays", []string{"0s write c/x~", "1ms write c/x"}, []string{"51ms c/x c/x~"}},
		{"a backup that goes", []string{"0s write c/x~", "1ms write c/x", "2ms gone c/x~"}, []string{"51ms c/x"}},
		{"vim's swap file", []string{"0s swap c/.x.swp", "3s swap c/.x.swp", "9s gone c/.x.swp"}, nil},
		{"not vim's swap file", []string{"0s write c/.x.swp"}, []string{"2s c/.x.swp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &fake{}
				s := newSpace(t, FileOptions{open: src.opener(), mounts: func() []Mount { return nil }}, "a", "1", "b", "1", "c/x", "1", "c/y", "1", "out/log", "")
				s.set([]plan.BuildSpec{{Source: plan.Source{Path: "c"}, Context: ".", Dockerfile: "Dockerfile"}}, "file a", "file b", "context c")
				s.inspect(func(*Files) {})
				began := time.Now()
				var got []string
				var wait sync.WaitGroup
				wait.Go(func() {
					for c := range s.files.Changes() {
						got = append(got, time.Since(began).String()+" "+strings.Join(c.Paths, " "))
					}
				})
				slices.SortStableFunc(test.acts, func(a, b string) int {
					x, _ := time.ParseDuration(strings.Fields(a)[0])
					y, _ := time.ParseDuration(strings.Fields(b)[0])
					return int(x - y)
				})
				for _, act := range test.acts {
					words := strings.Fields(act)
					at, err := time.ParseDuration(words[0])
					s.ok(err)
					time.Sleep(time.Until(began.Add(at)))
					s.act(src.ear, words[1], words[2])
				}
				time.Sleep(10 * time.Second)
				s.ok(s.files.Close())
				wait.Wait()
				if !slices.Equal(got, test.want) {
					t.Errorf("changes %q, want %q", got, test.want)
				}
			})
		})
	}
}

// act does something to a file, and tells of it as the system does.
func (s *space) act(e *ear, what, name string) {
	s.Helper()
	file := s.path(name)
	_, err := os.Lstat(file)
	came := op(0)
	if err != nil {
		came = opCreate
	}
	switch what {
	case "write":
		s.write(name, time.Now().String())
		e.hear(file, opWrite|came)
	case "swap":
		s.write(name, "b0VIM 9.0 "+time.Now().String())
		e.hear(file, opWrite|came)
	case "back", "same":
		s.write(name, "1")
		e.hear(file, opWrite)
	case "touch":
		s.ok(os.Chtimes(file, time.Time{}, time.Now()))
		e.hear(file, opMeta)
	case "gone":
		s.ok(os.Remove(file))
		e.hear(file, opGone)
	case "mkdir":
		s.ok(os.Mkdir(file, 0o755))
		e.hear(file, opCreate)
	default:
		s.Fatalf("act %s", what)
	}
}
