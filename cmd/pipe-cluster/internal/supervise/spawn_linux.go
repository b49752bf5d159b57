package supervise

import (
	"runtime"
	"syscall"
)

// self is this very program, also when its file was replaced meanwhile.
func self() string { return "/proc/self/exe" }

// attributes make a child die with its supervisor, however that dies: then whoever starts the next supervisor finds
// nothing in its way. Containers are not children and stay.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// spawner starts children from one thread that never ends: the kernel sends Pdeathsig when the thread ends that started
// the child, and the Go runtime ends threads as it likes.
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
