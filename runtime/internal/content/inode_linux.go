package content

import (
	"io/fs"
	"syscall"
)

// inode returns the change time of a file's content or permissions, which cannot be set
// by programs, and its inode number.
func inode(info fs.FileInfo) (ctime int64, number uint64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return syscall.TimespecToNsec(st.Ctim), st.Ino
}
