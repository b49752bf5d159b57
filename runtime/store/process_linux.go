package store

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// annotationProcess is which process holds a lease: the boot of the machine, the
// namespace of process IDs, the ID and when the process was started. With that,
// another one on the same machine can tell that it is dead, and need not wait
// for the lease to expire. In another container the same ID is another process,
// so that nothing is said of what is in another namespace.
const annotationProcess = "pipelinefile.github.io/process"

// machine is the boot and the namespace of process IDs; empty if they cannot be told.
var machine = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + namespace
})

// thisProcess returns the process as it is written into leases; empty if it
// cannot be told.
func thisProcess() string {
	pid := os.Getpid()
	began := startOf(pid)
	if machine() == "" || began == "" {
		return ""
	}
	return fmt.Sprintf("%s %d %s", machine(), pid, began)
}

// diedHere reports whether a process is known to be dead. Of one that is not of
// this machine nothing is known.
func diedHere(process string) bool {
	var pid int
	var began string
	own := machine()
	rest, ok := strings.CutPrefix(process, own+" ")
	if own == "" || !ok {
		return false
	}
	if n, err := fmt.Sscanf(rest, "%d %s", &pid, &began); n != 2 || err != nil {
		return false
	}
	return startOf(pid) != began
}

// startOf returns when a process was started, in ticks since boot; empty if it
// is dead, also if nobody has waited for it yet.
func startOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name of the program is in brackets, and may hold anything.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
