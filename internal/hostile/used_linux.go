package hostile

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// What reading a program of the corpus may take. It is a second of a processor on a quiet
// machine, which "go test -v" shows. On one with nine processes for each processor the
// same work took four times as long: what is wrong takes more than ten times.
const (
	MostTime   = 10 * time.Second
	MostMemory = 200 << 20 // as Used tells it
)

// Used returns what this process has used until now: the time of processors, for itself
// and the system, and the most memory that was resident, without the pages of its
// program's file. (What the system tells of a child that has ended includes the memory of
// the process that started it.)
func Used() (processors time.Duration, memory int64, err error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0, err
	}
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) (kb int64) {
		_, rest, _ := strings.Cut(string(data), "\n"+name+":")
		if _, e := fmt.Sscan(rest, &kb); e != nil {
			err = fmt.Errorf("%s of /proc/self/status: %w", name, e)
		}
		return kb
	}
	memory = (field("VmHWM") - field("RssFile")) << 10
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), memory, err
}
