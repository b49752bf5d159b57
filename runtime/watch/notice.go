package watch

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A Notice tells that something is polled instead of watched.
type Notice struct {
	Reason Reason
	Path   string // the first directory that is, slash-separated, below the workspace
	// Directories is how many are polled in all.
	Directories int
	Limit       Limit // of NoWatches and NoInstances
	Mount       Mount // of SilentFileSystem
	Err         error // of Unwatchable, NoWatches and NoInstances: what the system said
}

// A Reason is why something is polled.
type Reason string

// The reasons.
const (
	NoWatches        Reason = "no-watches"         // the user has no watches left
	NoInstances      Reason = "no-instances"       // the user has no inotify instances left, or the process no descriptors
	SilentFileSystem Reason = "silent-file-system" // it accepts watches and reports nothing
	Unwatchable      Reason = "unwatchable"        // another error
)

// A Limit is a limit of the system.
type Limit struct {
	Name    string // such as "fs.inotify.max_user_watches"; empty: the system has none that is known
	Value   int    // what it is; 0: it cannot be read
	Fitting int    // what would do
}

// The limits of inotify, per user.
const (
	MaxWatches   = "fs.inotify.max_user_watches"
	MaxInstances = "fs.inotify.max_user_instances"
)

// least are the limits that fit a workspace of some thousand directories beside
// editors and dev servers.
var least = map[string]int{MaxWatches: 65536, MaxInstances: 256}

// noticeOf returns the notice that a directory cannot be watched.
func noticeOf(dir string, err error) Notice {
	n := Notice{Reason: Unwatchable, Path: dir, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		n.Reason, n.Limit.Name = NoWatches, MaxWatches
	case usedUp(err):
		n.Reason, n.Limit.Name = NoInstances, MaxInstances
	}
	return n
}

// usedUp reports whether a limit of the system was reached.
func usedUp(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

const procDir = "/proc"

// limit reads a limit of which a workspace takes need. What fits leaves as much to
// others as they have now.
func limit(proc, name string, need int) Limit {
	l := Limit{Name: name, Fitting: least[name]}
	file := filepath.Join(append([]string{proc, "sys"}, strings.Split(name, ".")...)...)
	if data, err := os.ReadFile(file); err == nil {
		l.Value, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	if name == MaxInstances {
		need = 1
	}
	for l.Fitting < l.Value+need {
		l.Fitting *= 2
	}
	return l
}
