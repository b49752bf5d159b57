package supervise

import (
	"runtime"
	"syscall"
)

// self returns the path of this program, even if its file was replaced meanwhile.
func self() string { return "/proc/self/exe" }

// attributes makes a child die with its supervisor, however the supervisor ends, so that the next
// supervisor can start. Containers are not children and keep running.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// spawner starts children from one thread that never ends: the kernel sends Pdeathsig when the thread
// that started the child ends, and the Go runtime may end threads at any time.
func spawner() func(func() error) error {
	type request struct {
		start func() error
		err   chan error
	}
	requests := make(chan request)
	go func() {
		runtime.LockOSThread()
		for r := range requests {
			r.err <- r.start()
		}
	}()
	return func(start func() error) error {
		r := request{start, make(chan error)}
		requests <- r
		return <-r.err
	}
}
