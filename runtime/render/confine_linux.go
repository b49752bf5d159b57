package render

import (
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// confine makes this process fail rather than use much more memory than allowed.
// The watch notices memory that is allocated gradually; the system refuses large single
// allocations.
func confine(memory int64) error {
	debug.SetMemoryLimit(memory / 10 * 9) // collect garbage before memory runs out
	debug.SetMaxStack(int(min(memory/4, 256<<20)))
	// Go reserves address space in large pieces and uses little of it.
	return limitSpace(memory + memory/2 + 256<<20)
}

// limitSpace limits the address space of this process to its current size plus more
// bytes, unless it has a lower limit already.
func limitSpace(more int64) error {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(data), &pages); err != nil {
		return err
	}
	var is unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &is); err != nil {
		return err
	}
	most := min(pages*uint64(os.Getpagesize())+uint64(more), is.Cur, is.Max)
	return unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: most, Max: most})
}
