package store

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// annotationProcess identifies the process that holds a lease: the boot ID of the
// machine, the PID namespace, the PID and the start time of the process. With that,
// another process on the same machine can detect that it is dead, and need not wait
// for the lease to expire. In another container the same PID is a different process,
// so nothing is concluded about processes in another PID namespace.
const annotationProcess = "pipelinefile.github.io/process"

// machine returns the boot ID and the PID namespace; empty if they are unknown.
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

// thisProcess identifies this process in leases; empty if that is not possible.
func thisProcess() string {
	pid := os.Getpid()
	began := startOf(pid)
	if machine() == "" || began == "" {
		return ""
	}
	return fmt.Sprintf("%s %d %s", machine(), pid, began)
}

// diedHere reports whether a process is known to be dead. Nothing is known about
// processes of other machines.
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
// is dead, including a zombie.
func startOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name of the program is in parentheses, and may contain any character.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
