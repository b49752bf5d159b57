//go:build !linux

package proc

// Only Linux tells when a process started and what its environment is. Elsewhere there is the simulated node only,
// whose processes are the supervisor and one child, both known by number and by the supervisor's lock.

func started(int) uint64 { return 0 }

// Marked finds nothing on this system.
func Marked(string) []ID { return nil }

// Args is not known on this system.
func (id ID) Args() []string { return nil }

// Name is not known on this system.
func (id ID) Name() string { return "" }
