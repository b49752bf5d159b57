package filelock

import "io/fs"

// ours reports whether a file belongs to the user of this process: on Windows, each user has a
// directory for temporary files.
func ours(fs.FileInfo) bool { return true }
