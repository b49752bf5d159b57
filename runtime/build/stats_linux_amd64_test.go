package build_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pipelinefile/pipe/runtime/build"
)

// The test binary is the two processes, too: main_test.go knows only those of all systems.
func init() {
	if len(os.Args) < 4 {
		return
	}
	var err error
	switch os.Args[1] {
	case "count-calls":
		err = countCalls(os.Stdout, os.Args[2:])
	case "identify":
		_, err = build.New(build.Options{Dir: os.Args[2], CacheDir: os.Args[3]}).Identify(context.Background(), spec("web"))
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A counted is the number of system calls of a process by which it looks at files.
type counted struct{ Stats, Opens int }

// countCalls is the main function of a process that runs another one and prints its system calls.
// It waits for all of its children, so it is not the process of the tests.
func countCalls(out io.Writer, args []string) error {
	runtime.LockOSThread()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, 0, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(cmd.Process.Pid, options); err != nil {
		return err
	}
	var n counted
	for thread, signal := cmd.Process.Pid, 0; ; {
		if err := syscall.PtraceSyscall(thread, signal); err != nil && err != syscall.ESRCH {
			return err
		}
		var err error
		if thread, err = syscall.Wait4(-1, &status, syscall.WALL, nil); err != nil {
			return err
		}
		signal = 0
		switch {
		case thread == cmd.Process.Pid && (status.Exited() || status.Signaled()):
			if status.ExitStatus() != 0 {
				return fmt.Errorf("the process ended with %d", status.ExitStatus())
			}
			return json.NewEncoder(out).Encode(n)
		case !status.Stopped(), status.TrapCause() > 0: // the end or the beginning of a thread
		case status.StopSignal() == syscall.SIGTRAP|0x80:
			n.call(thread)
		case status.StopSignal() != syscall.SIGSTOP: // with which a thread begins
			signal = int(status.StopSignal())
		}
	}
}

// call counts the system call that a thread begins.
func (n *counted) call(thread int) {
	var info struct {
		op     uint8
		_      [3]uint8
		_      uint32
		_, _   uint64
		number uint64
		_      [10]uint64
	}
	_, _, _ = syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if info.op != unix.PTRACE_SYSCALL_INFO_ENTRY {
		return
	}
	switch info.number {
	case syscall.SYS_NEWFSTATAT, syscall.SYS_LSTAT, syscall.SYS_STAT, unix.SYS_STATX:
		n.Stats++
	case unix.SYS_OPENAT:
		n.Opens++
	}
}

// TestIdentifyAgainCalls identifies an unchanged context of many files: that costs one stat of each
// file, and no file is opened.
func TestIdentifyAgainCalls(t *testing.T) {
	const many, directories = 5000, 50
	dir := t.TempDir()
	f := files{"web/Dockerfile": "FROM scratch\nCOPY . /\n"}
	for i := range many {
		f[fmt.Sprintf("web/%02d/file%05d", i%directories, i)] = fmt.Sprint(i)
	}
	f.write(t, dir)
	settle(t, dir+"/web")
	cache := t.TempDir()
	identified := func() counted {
		t.Helper()
		out, err := exec.Command(os.Args[0], "count-calls", "identify", dir, cache).Output()
		var n counted
		if err == nil {
			err = json.Unmarshal(out, &n)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return n
	}
	// A process opens some files by itself, and directories are opened and looked at.
	const others = 3*directories + 300
	first, again := identified(), identified()
	if first.Opens < many {
		t.Errorf("the first time %+v: want each of %d files opened", first, many)
	}
	if again.Stats < many || again.Stats > many+others || again.Opens > others {
		t.Errorf("again %+v: want one stat of each of %d files, and none opened", again, many)
	}
}
