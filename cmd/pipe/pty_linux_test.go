package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// scriptDialogue runs a command on a terminal of 80 by 24 characters. The lines of a dialogue
// control it:
//
//	> TEXT        types the text and Enter
//	< REGEXP      waits until the terminal shows this after what was awaited before
//	^ KEY         types Ctrl and the key, such as C
//	size W H      makes the terminal W by H characters
//	status N      waits until the command has ended with this status
func scriptDialogue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: dialogue FILE COMMAND…")
	}
	user, tty, err := openTerminal()
	ts.Check(err)
	defer user.Close()
	resize := func(w, h uint16) {
		ts.Check(unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: h, Col: w}))
	}
	resize(80, 24)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	ts.Check(err)
	program, err := exec.LookPath(args[1])
	ts.Check(err)
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environOf(ts)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	shown := make(chan string)
	go func() {
		defer close(shown)
		buf := make([]byte, 4096)
		for {
			n, err := user.Read(buf)
			if err != nil {
				return
			}
			shown <- string(buf[:n])
		}
	}()
	seen, from := "", 0
	timeout := time.After(time.Minute)
	fail := func(format string, args ...any) {
		_ = cmd.Process.Kill()
		ts.Fatalf("%s; the terminal shows:\n%s", fmt.Sprintf(format, args...), seen)
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimRight(line, "\n")
		do, what, _ := strings.Cut(line, " ")
		switch do {
		case ">":
			fmt.Fprint(user, what+"\r")
		case "^":
			fmt.Fprintf(user, "%c", what[0]-'@')
		case "<":
			want := regexp.MustCompile(what)
			for want.FindStringIndex(seen[from:]) == nil {
				select {
				case text, ok := <-shown:
					if !ok {
						fail("%s: the terminal is closed", line)
					}
					seen += text
				case <-timeout:
					fail("%s: it is not shown", line)
				}
			}
			from += want.FindStringIndex(seen[from:])[1]
		case "size":
			var w, h uint16
			_, err := fmt.Sscan(what, &w, &h)
			ts.Check(err)
			resize(w, h)
		case "status":
			for over := false; !over; {
				select {
				case text := <-shown:
					seen += text
				case <-ended:
					over = true
				case <-timeout:
					fail("it has not ended")
				}
			}
			if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != what {
				fail("it has ended with status %s, want %s", got, what)
			}
		default:
			fail("unknown line %q", line)
		}
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	ts.Check(err)
	if *after != *before {
		ts.Fatalf("the terminal is left with other settings: %+v, it had %+v", after, before)
	}
	tty.Close()
}

// environOf returns the environment of the commands of a script.
func environOf(ts *testscript.TestScript) []string {
	var environ []string
	for _, name := range []string{"HOME", "PATH", "TMPDIR", "PIPE_HOME", "PIPE_LOCAL", "PIPE_PROGRESS", "KUBECONFIG", "TERM"} {
		environ = append(environ, name+"="+ts.Getenv(name))
	}
	return environ
}
