package watch

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Limit is a limit of the system for all programs of a user together.
type Limit struct {
	Name    string // such as "fs.inotify.max_user_watches"
	Value   int    // the current value; 0: unknown
	Used    int    // by running programs, as far as they can be inspected
	Need    int    // required by the workspace
	Fitting int    // a sufficient value
}

// The limits of inotify.
const (
	MaxWatches   = "fs.inotify.max_user_watches"
	MaxInstances = "fs.inotify.max_user_instances"
)

// least are values that are sufficient for a workspace of some thousand directories in
// addition to editors and dev servers.
var least = map[string]int{MaxWatches: 65536, MaxInstances: 256}

// Fits reports whether the workspace can be watched with the current value.
func (l Limit) Fits() bool { return l.Value == 0 || l.Used+l.Need <= l.Value }

// limits reads the limits of inotify below proc. A workspace needs the given number of
// watches and one instance.
func limits(proc string, watches int) []Limit {
	usedInstances, usedWatches := inotifyUse(proc)
	return []Limit{limit(proc, MaxWatches, usedWatches, watches), limit(proc, MaxInstances, usedInstances, 1)}
}

func limit(proc, name string, used, need int) Limit {
	l := Limit{Name: name, Used: used, Need: need, Fitting: least[name]}
	file := filepath.Join(append([]string{proc, "sys"}, strings.Split(name, ".")...)...)
	if data, err := os.ReadFile(file); err == nil {
		l.Value, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	for l.Fitting < max(l.Used, l.Value)+need {
		l.Fitting *= 2
	}
	return l
}

// inotifyUse counts what the processes that can be inspected use. See
// proc_pid_fdinfo(5).
func inotifyUse(proc string) (instances, watches int) {
	files, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*")) // the pattern is valid
	for _, fd := range files {
		if target, err := os.Readlink(fd); err != nil || target != "anon_inode:inotify" {
			continue
		}
		instances++
		info, err := os.Open(filepath.Join(filepath.Dir(filepath.Dir(fd)), "fdinfo", filepath.Base(fd)))
		if err != nil {
			continue // it has ended
		}
		lines := bufio.NewScanner(info)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "inotify ") {
				watches++
			}
		}
		info.Close()
	}
	return instances, watches
}
