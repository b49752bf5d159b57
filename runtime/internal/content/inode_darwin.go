package content

import (
	"io/fs"
	"syscall"
)

// inode returns when a file's content or rights were changed last, which nobody
// can set, and its number.
func inode(info fs.FileInfo) (ctime int64, number uint64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return syscall.TimespecToNsec(st.Ctimespec), st.Ino
}
