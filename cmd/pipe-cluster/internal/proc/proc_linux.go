package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// stat returns the fields of /proc/PID/stat after the command's name, which may contain blanks and
// parentheses.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return nil
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return nil
	}
	return f
}

func started(pid int) uint64 {
	f := stat(pid)
	if f == nil {
		return 0
	}
	n, _ := strconv.ParseUint(f[19], 10, 64)
	return n
}

// exists reports whether a thread of the process is left: the first one may have ended, and be a
// zombie, while others still hold the files and ports of the process.
func exists(pid int) bool {
	f := stat(pid)
	if f == nil {
		return false
	}
	threads, _ := strconv.Atoi(f[17])
	return f[0] != "Z" && f[0] != "X" || threads > 1
}

// Marked returns the living processes that have the mark of a cluster's directory, except this one.
func Marked(dir string) []ID {
	want := []byte(Mark + "=" + dir)
	var ids []ID
	for _, pid := range all() {
		if pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue // ended, or a process of another user
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if bytes.Equal(v, want) {
				if id := Of(pid); id.Alive() {
					ids = append(ids, id)
				}
				break
			}
		}
	}
	return ids
}

// Args returns the command line of the process, starting with its program.
func (id ID) Args() []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id.PID))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// Name returns the base name of the program that the process runs.
func (id ID) Name() string {
	args := id.Args()
	if len(args) == 0 {
		return ""
	}
	return args[0][strings.LastIndexByte(args[0], '/')+1:]
}

func all() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
