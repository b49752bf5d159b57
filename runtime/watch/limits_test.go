package watch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/plan"
)

// told collects notices.
type told struct {
	mu      sync.Mutex
	notices []Notice
}

func (t *told) notice(n Notice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notices = append(t.notices, n)
}

func (t *told) reasons() (out []Reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.notices {
		out = append(out, n.Reason)
	}
	return out
}

func noMounts() []Mount { return nil }

var contextC = []plan.BuildSpec{{Source: plan.Source{Path: "c"}, Context: ".", Dockerfile: "Dockerfile"}}

// TestNoWatches: what cannot be watched is polled, and only that; with more
// watches all is watched again (W5).
func TestNoWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		full.Store(true)
		src, notes := &fake{}, &told{}
		src.err = func(dir string) error {
			if full.Load() && strings.HasSuffix(dir, "/c/sub") {
				return syscall.ENOSPC
			}
			return nil
		}
		s := newSpace(t, FileOptions{open: src.opener(), mounts: noMounts, Notice: notes.notice}, "a", "1", "c/x", "1", "c/sub/y", "1")
		s.set(contextC, "file a", "context c")
		synctest.Wait()
		if len(notes.notices) != 1 {
			t.Fatalf("notices %+v", notes.notices)
		}
		n := notes.notices[0]
		if n.Reason != NoWatches || n.Path != "c/sub" || n.Directories != 1 || n.Limit.Name != MaxWatches || n.Limit.Fitting < 65536 || n.Limit.Fitting <= n.Limit.Value || !errors.Is(n.Err, syscall.ENOSPC) {
			t.Errorf("notice %+v", n)
		}
		if data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches"); err == nil && n.Limit.Value == 0 {
			t.Errorf("the limit is %s and was not read", data)
		}
		s.write("c/x", "2") // nothing is heard of it: it is watched
		s.write("c/sub/y", "2")
		began := time.Now()
		s.want("c/sub/y", "context c")
		if took := time.Since(began); took > 600*time.Millisecond {
			t.Errorf("a polled change took %s", took)
		}
		src.ear.hear(s.path("c/x"), opWrite)
		s.want("c/x", "context c")

		full.Store(false)
		time.Sleep(time.Second)
		if !src.watches(s.path("c/sub")) {
			t.Error("it is polled although there are watches again")
		}
		s.write("c/sub/y", "3")
		src.ear.hear(s.path("c/sub/y"), opWrite)
		s.want("c/sub/y", "context c")
	})
}

func (f *fake) watches(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dirs[dir]
}

// TestNoInstance: without any watch all is polled.
func TestNoInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notes := &told{}
		open := func(*ear) (source, error) { return nil, syscall.EMFILE }
		s := newSpace(t, FileOptions{open: open, mounts: noMounts, Notice: notes.notice, Poll: time.Second}, "a", "1", "c/x", "1", "c/sub/y", "1")
		s.set(contextC, "file a", "context c", "file new/b")
		synctest.Wait()
		if got := notes.reasons(); !slices.Equal(got, []Reason{NoInstances}) || notes.notices[0].Directories != 3 || notes.notices[0].Limit.Name != MaxInstances {
			t.Errorf("notices %+v", notes.notices)
		}
		time.Sleep(5 * time.Second)
		s.write("a", "2")
		s.want("a", "file a")
		s.write("c/new/z", "2")
		s.rename("c/sub", "c/bus")
		s.want("c/bus c/bus/y c/new c/new/z c/sub c/sub/y", "context c")
		s.write("c/new/z", "3")
		s.want("c/new/z", "context c")
		s.write("new/b", "1")
		s.want("new/b", "file new/b")
		s.link("x", "c/link")
		s.want("c/link", "context c")
		s.remove("c")
		c := s.next()
		if want := "c c/bus c/bus/y c/link c/new c/new/z c/x"; strings.Join(c.Paths, " ") != want {
			t.Errorf("removed: %s, want %s", c.Paths, want)
		}
		// A writer that goes on is reported when it rests, or after two seconds.
		s.write("a", "3")
		began := time.Now()
		s.want("a", "file a")
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("a polled change took %s", took)
		}
	})
}

// TestSilent: of a file system that accepts watches and reports nothing, the
// directories are polled, and only these.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, notes := &fake{}, &told{}
		var dir string
		mounts := func() []Mount { return []Mount{{"/", "ext4"}, {filepath.Join(dir, "c"), "9p"}} }
		s := newSpace(t, FileOptions{open: src.opener(), mounts: mounts, Notice: notes.notice}, "a", "1", "c/x", "1", "c/d/y", "1")
		dir, _ = filepath.EvalSymlinks(s.dir)
		s.set(contextC, "file a", "context c")
		synctest.Wait()
		if got := notes.reasons(); !slices.Equal(got, []Reason{SilentFileSystem}) || notes.notices[0].Mount.Type != "9p" || notes.notices[0].Directories != 2 {
			t.Errorf("notices %+v", notes.notices)
		}
		if !src.watches(dir) || src.watches(filepath.Join(dir, "c")) {
			t.Errorf("watched are %v", src.dirs)
		}
		s.write("c/d/y", "2")
		s.want("c/d/y", "context c")
	})
}

// TestLost: when events were lost, everything is compared by content.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fake{}
		s := newSpace(t, FileOptions{open: src.opener(), mounts: noMounts}, "a", "1", "c/x", "1", "c/d/y", "1", "c/e/z", "1")
		s.set(contextC, "file a", "context c")
		s.inspect(func(*Files) {})
		s.write("a", "1") // as it was
		s.write("c/new", "1")
		s.write("c/d/y", "2")
		s.rename("c/e", "c/f")
		src.ear.lose(nil)
		s.want("c/d/y c/e c/e/z c/f c/f/z c/new", "context c")
		if !src.watches(s.path("c/f")) || src.watches(s.path("c/e")) {
			t.Errorf("watched are %v", src.dirs)
		}
	})
}

// TestFails: a source that fails is replaced once; if it fails again, all is polled.
func TestFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, notes := &fake{}, &told{}
		s := newSpace(t, FileOptions{open: src.opener(), mounts: noMounts, Notice: notes.notice}, "a", "1", "c/x", "1")
		s.set(contextC, "file a", "context c")
		s.inspect(func(*Files) {})
		failure := errors.New("it is broken")
		s.write("c/x", "2")
		src.ear.lose(failure)
		s.want("c/x", "context c")
		if !src.watches(s.path("c")) || len(notes.notices) > 0 {
			t.Errorf("watched are %v, notices %v", src.dirs, notes.notices)
		}
		src.ear.lose(failure)
		synctest.Wait()
		s.write("a", "2")
		s.want("a", "file a")
		if got := notes.reasons(); !slices.Equal(got, []Reason{Unwatchable}) || !errors.Is(notes.notices[0].Err, failure) {
			t.Errorf("notices %+v", notes.notices)
		}
	})
}

// TestOverflow fills the queue of the system, which then drops events.
func TestOverflow(t *testing.T) {
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip("this system has no queue of a known length: ", err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(limit)))
	if err != nil {
		t.Fatal(err)
	}
	between := newEar() // between the system and the files, so that it can be deaf
	overflowed := make(chan struct{})
	open := func(e *ear) (source, error) {
		go func() {
			for range between.wake {
				events, lost, err := between.take()
				for p, h := range events {
					e.hear(p, h.op)
				}
				if lost {
					close(overflowed)
					e.lose(err)
					return
				}
			}
		}()
		return openNotifier(between)
	}
	s := newSpace(t, FileOptions{open: open}, "c/x", "1", "c/y", "1", "c/d/z", "1")
	s.set(contextC, "context c")
	s.inspect(func(*Files) {})
	x, err := os.OpenFile(s.path("c/x"), os.O_WRONLY, 0)
	s.ok(err)
	defer x.Close()
	y, err := os.OpenFile(s.path("c/y"), os.O_WRONLY, 0)
	s.ok(err)
	defer y.Close()
	between.mu.Lock()
	for range most { // each pair is two events, which are not merged
		_, err := x.WriteAt([]byte("1"), 0)
		s.ok(err)
		_, err = y.WriteAt([]byte("1"), 0)
		s.ok(err)
	}
	s.write("c/d/z", "2")
	between.mu.Unlock()
	s.want("c/d/z", "context c")
	<-overflowed
}

// TestRootGoes: a workspace that is moved away and comes back is watched again.
func TestRootGoes(t *testing.T) {
	s := newSpace(t, FileOptions{Poll: 50 * time.Millisecond}, "a", "1", "c/x", "1")
	s.set(contextC, "file a", "context c")
	s.ok(os.Rename(s.dir, s.dir+".away"))
	s.want("a c c/x", "context c", "file a")
	s.ok(os.Rename(s.dir+".away", s.dir))
	s.want("a c c/x", "context c", "file a")
	s.write("c/x", "2")
	s.want("c/x", "context c")
}

func TestParseMounts(t *testing.T) {
	table := `22 27 0:20 / /proc rw,nosuid shared:5 - proc proc rw
27 0 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
61 27 0:53 / /mnt/c rw,noatime - 9p drvfs rw,dirsync,aname=drvfs
62 27 0:54 / /home/me/my\040files rw shared:7 master:3 - fuse.sshfs me@host:/ rw
broken
63 27 0:55 / /home/me/my\040files rw - ext4 /dev/vdb rw
64 27 0:56 / /home/me/back\134slash rw - nfs4 host:/x rw
`
	got := parseMounts([]byte(table))
	want := []Mount{
		{"/proc", "proc"}, {"/", "ext4"}, {"/mnt/c", "9p"}, {"/home/me/my files", "fuse.sshfs"},
		{"/home/me/my files", "ext4"}, {`/home/me/back\slash`, "nfs4"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mounts: -want +got\n%s", diff)
	}
	for path, typ := range map[string]string{
		"/": "ext4", "/mnt": "ext4", "/mnt/c": "9p", "/mnt/c/x/y": "9p", "/mnt/cd": "ext4", "/home/me/my files/x": "ext4", `/home/me/back\slash/x`: "nfs4",
	} {
		if m := mountOf(got, path); m.Type != typ {
			t.Errorf("%s is on %s, want %s", path, m.Type, typ)
		}
	}
	if got, want := around(got, "/home/me"), []Mount{{"/", "ext4"}, {"/home/me/my files", "fuse.sshfs"}, {"/home/me/my files", "ext4"}, {`/home/me/back\slash`, "nfs4"}}; !slices.Equal(got, want) {
		t.Errorf("around() = %v, want %v", got, want)
	}
	for typ, want := range map[string]bool{
		"ext4": false, "overlay": false, "tmpfs": false, "btrfs": false, "fuseblk": false, "9p": true, "drvfs": true, "nfs": true, "nfs4": true, "nfsd": false,
		"cifs": true, "smb3": true, "virtiofs": true, "vboxsf": true, "fuse.sshfs": true, "fuse.osxfs": true, "fuse": true,
	} {
		if got := (Mount{Type: typ}).Silent(); got != want {
			t.Errorf("%s: Silent() = %v, want %v", typ, got, want)
		}
	}
	if len(mounts()) == 0 {
		if _, err := os.Stat("/proc/self/mountinfo"); err == nil {
			t.Error("the system's mounts were not read")
		}
	}
}
