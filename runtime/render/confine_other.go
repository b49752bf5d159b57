//go:build !linux

package render

import "runtime/debug"

// confine makes this process fail rather than take much more memory than it may.
// There is no limit of the system that holds for Go: the watch has to see it.
func confine(memory int64) error {
	debug.SetMemoryLimit(memory / 10 * 9) // garbage is collected before memory is short
	debug.SetMaxStack(int(min(memory/4, 256<<20)))
	return nil
}

// limitSpace does nothing here.
func limitSpace(int64) error { return nil }
