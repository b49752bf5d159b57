//go:build !linux

package proc

// Only Linux shows the start time and the environment of a process. Other systems have only the
// simulated node, whose processes are the supervisor and one child. Both are identified by their PIDs
// and the supervisor's lock.

func started(int) uint64 { return 0 }

// Marked returns nil on this system.
func Marked(string) []ID { return nil }

// Args returns nil on this system.
func (id ID) Args() []string { return nil }

// Name returns "" on this system.
func (id ID) Name() string { return "" }
