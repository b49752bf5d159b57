package watch

import (
	"errors"
	"syscall"
)

// A Notice reports that directories are polled instead of watched.
type Notice struct {
	Reason Reason
	Path   string // the first polled directory, slash-separated, relative to the workspace
	// Directories is the total number of polled directories.
	Directories int
	Limit       Limit // of NoWatches and NoInstances
	Mount       Mount // of SilentFileSystem
	Err         error // of Unwatchable, NoWatches and NoInstances: the error of the system
}

// A Reason is the reason why a directory is polled.
type Reason string

// The reasons.
const (
	NoWatches        Reason = "no-watches"         // the user has no watches left
	NoInstances      Reason = "no-instances"       // the user has no inotify instances left, or the process no descriptors
	SilentFileSystem Reason = "silent-file-system" // it accepts watches but reports nothing
	Unwatchable      Reason = "unwatchable"        // another error
)

// noticeOf returns the notice about a directory that cannot be watched.
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
