package repl

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A user types on a pseudo terminal and sees its output.
type user struct {
	t    *testing.T
	end  *os.File
	mu   sync.Mutex
	seen bytes.Buffer // the output; guarded by mu
	from int          // the offset in seen after the last expected text
}

// talk runs Talk on a pseudo terminal and returns a channel for its error.
func talk(t *testing.T, s *Session) (*user, <-chan error) {
	t.Helper()
	end, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(end.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(end.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, end: end}
	go func() {
		buf := make([]byte, 1024)
		for {
			n, err := end.Read(buf)
			if err != nil {
				return
			}
			u.mu.Lock()
			u.seen.Write(buf[:n])
			u.mu.Unlock()
		}
	}()
	term, err := Open(t.Context(), program, program)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- Talk(t.Context(), s, term, Console{Out: term, Plan: planName}) }()
	t.Cleanup(func() {
		if err := term.Close(); err != nil {
			t.Error(err)
		}
		if after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS); err != nil || after.Lflag != before.Lflag {
			t.Errorf("the terminal has the flags %x, want %x as before (%v)", after.Lflag, before.Lflag, err)
		}
		program.Close()
		end.Close()
	})
	return u, ended
}

// types types keys.
func (u *user) types(keys string) {
	u.t.Helper()
	if _, err := u.end.WriteString(keys); err != nil {
		u.t.Fatal(err)
	}
}

// sees waits for text in the output after the last expected text.
func (u *user) sees(text string) {
	u.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		u.mu.Lock()
		shown := u.seen.String()
		u.mu.Unlock()
		if i := strings.Index(shown[u.from:], text); i >= 0 {
			u.from += i + len(text)
			return
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("no %q after %q; the output continues with %q", text, shown[:u.from], shown[u.from:])
		}
	}
}

// TestTalk checks inputs of several lines, that an error does not end the session,
// and that Ctrl-D does.
func TestTalk(t *testing.T) {
	u, ended := talk(t, session(t, ""))
	u.sees(":help lists the commands")
	u.sees("[1] ")
	u.types("x = 20\r")
	u.sees("[2] ")
	u.types("def f(n):\r")
	u.sees(".. ")
	u.types("\treturn n + x\r")
	u.sees(".. ")
	u.types("\r")
	u.sees("[3] ")
	u.types("f(\r")
	u.sees(".. ")
	u.types("1)\r")
	u.sees("\r\n21\r\n")
	u.types("1 // 0\r")
	u.sees("[4]:1:3: floored division by zero")
	u.sees("[4] ")              // a failed input does not use its number
	u.types("\x1b[A\b2\x018\r") // edit the previous line: replace its last character with 2, insert 8 at its start
	u.sees("\r\n40\r\n[5] ")
	u.types(":undo\r")
	u.sees("undone: 81 // 2")
	u.types(":plan\r")
	u.sees("pipeline() is not called")
	u.types("\x04")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestInterrupt checks that Ctrl-C discards the current input, even one of several
// lines, or stops the current evaluation, and that the session continues.
func TestInterrupt(t *testing.T) {
	s := session(t, "")
	s.opts.Limits.Steps = 1 << 60
	u, ended := talk(t, s)
	u.types("fail('typed')\x03")
	u.types("1 + 1\r")
	u.sees("\r\n2\r\n")
	u.types("if True:\r")
	u.sees(".. ")
	u.types("    fail('typed')\x03")
	u.types("2 + 2\r")
	u.sees("\r\n4\r\n")
	u.types("for i in range(1 << 50): print(i) if i == 0 else None\r")
	u.sees(".. ")
	u.types("\r")
	u.sees("\r\n0\r\n")
	u.types("\x03")
	u.sees("stopped")
	u.types("3 + 3\r")
	u.sees("\r\n6\r\n")
	u.types(":quit\r")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTab checks that Tab completes a unique name and lists the candidates otherwise.
func TestTab(t *testing.T) {
	u, ended := talk(t, session(t, "staging = 41\n"))
	u.types("stag\t\t")
	u.sees("stage  staging")
	u.types("i\t + 1\r")
	u.sees("\r\n42\r\n")
	u.types(":u\t\r")
	u.sees("undone: staging + 1")
	u.types("\x04")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
