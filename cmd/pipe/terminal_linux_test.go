package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo terminal.
func openTerminal() (user, program *os.File, err error) {
	if user, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		user.Close()
		return nil, nil, err
	}
	return user, program, nil
}

// A console is a pseudo terminal with a program, and its screen.
type console struct {
	t    *testing.T
	user *os.File
	set  *unix.Termios // its settings before the program started
	done chan error    // receives the result of the program

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something was written
	screen  screen
	written strings.Builder
}

// onTerminal runs a command on a separate terminal.
func onTerminal(t *testing.T, cmd *exec.Cmd, width, height int) *console {
	t.Helper()
	user, program, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	term := &console{t: t, user: user, done: make(chan error, 1), changed: make(chan struct{})}
	term.resize(width, height)
	if term.set, err = unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		program.Close()
		user.Close()
	})
	go term.read()
	go func() { term.done <- cmd.Wait() }()
	return term
}

func (term *console) read() {
	var rest []byte
	for buf := make([]byte, 4096); ; {
		n, err := term.user.Read(buf)
		term.mu.Lock()
		term.written.Write(buf[:n])
		rest = term.screen.write(append(rest, buf[:n]...))
		close(term.changed)
		term.changed = make(chan struct{})
		term.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// resize changes the size of the terminal and notifies its program.
func (term *console) resize(width, height int) {
	term.t.Helper()
	term.mu.Lock()
	term.screen.resize(width, height)
	term.mu.Unlock()
	if err := unix.IoctlSetWinsize(int(term.user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)}); err != nil {
		term.t.Fatal(err)
	}
}

// types sends keys.
func (term *console) types(keys string) {
	term.t.Helper()
	if _, err := term.user.WriteString(keys); err != nil {
		term.t.Fatal(err)
	}
}

// await waits until the screen shows all of the strings.
func (term *console) await(texts ...string) {
	term.t.Helper()
	term.until(func() string {
		for _, text := range texts {
			if !strings.Contains(term.screen.String(), text) {
				return fmt.Sprintf("%q is not shown", text)
			}
		}
		return ""
	})
}

// until waits until wrong returns "", which means that the terminal is as wanted.
func (term *console) until(wrong func() string) {
	term.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		term.mu.Lock()
		what, shown, changed := wrong(), term.screen.String(), term.changed
		term.mu.Unlock()
		if what == "" {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			term.t.Fatalf("after two minutes %s:\n%s", what, shown)
		}
	}
}

// ends waits until the program has ended with a status, and checks that it has restored the
// terminal: its settings, its first screen, and the cursor.
func (term *console) ends(status int) {
	term.t.Helper()
	select {
	case err := <-term.done:
		got := 0
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // that is what Wait returns
			got = exit.ExitCode()
		}
		if got != status {
			term.t.Errorf("status %d (%v), want %d", got, err, status)
		}
	case <-time.After(2 * time.Minute):
		term.t.Fatal("it has not ended after two minutes")
	}
	term.isBack()
}

// isBack checks that a program has restored the terminal.
func (term *console) isBack() {
	term.t.Helper()
	set, err := unix.IoctlGetTermios(int(term.user.Fd()), unix.TCGETS)
	if err != nil {
		term.t.Fatal(err)
	}
	if *set != *term.set {
		term.t.Errorf("the terminal is set as %+v, and was as %+v", *set, *term.set)
	}
	term.until(func() string {
		all := term.written.String()
		for _, mode := range []struct{ what, on, off string }{
			{"the other screen", "\x1b[?1049h", "\x1b[?1049l"}, {"the hidden cursor", "\x1b[?25l", "\x1b[?25h"},
		} {
			if strings.LastIndex(all, mode.on) > strings.LastIndex(all, mode.off) {
				return mode.what + " is not given back"
			}
		}
		return ""
	})
}

// A screen implements the terminal functions that programs here use.
type screen struct {
	cells         [][]rune
	width, height int
	x, y          int
	top, bottom   int     // the lines that scroll: from top, up to but not including bottom
	first         *screen // the main screen, while the alternate screen is shown
}

func (s *screen) resize(width, height int) {
	cells := make([][]rune, height)
	for y := range cells {
		cells[y] = []rune(strings.Repeat(" ", width))
		if y < len(s.cells) {
			copy(cells[y], s.cells[y])
		}
	}
	s.cells, s.width, s.height, s.top, s.bottom = cells, width, height, 0, height
	s.x, s.y = min(s.x, width-1), min(s.y, height-1)
	if s.first != nil {
		s.first.resize(width, height)
	}
}

func (s *screen) String() string {
	lines := make([]string, len(s.cells))
	for i, row := range s.cells {
		lines[i] = strings.TrimRight(string(row), " ")
	}
	return strings.Join(lines, "\n")
}

// write shows data, and returns an incomplete sequence at its end.
func (s *screen) write(data []byte) (rest []byte) {
	for len(data) > 0 {
		n := 1
		switch c := data[0]; {
		case c == 0x1b:
			if n = s.sequence(data); n == 0 {
				return data
			}
		case c == '\r':
			s.x = 0
		case c == '\n':
			s.down()
		case c == '\b':
			s.x = max(0, s.x-1)
		case c == '\t':
			s.x = min(s.width-1, s.x/8*8+8)
		case c >= ' ':
			if !utf8.FullRune(data) {
				return data
			}
			var r rune
			r, n = utf8.DecodeRune(data)
			if s.x == s.width {
				s.x = 0
				s.down()
			}
			s.cells[s.y][s.x] = r
			s.x++
		}
		data = data[n:]
	}
	return nil
}

func (s *screen) down() {
	switch {
	case s.y == s.bottom-1:
		s.scroll(s.top, s.bottom, 1)
	case s.y < s.height-1:
		s.y++
	}
}

func (s *screen) up() {
	switch {
	case s.y == s.top:
		s.scroll(s.top, s.bottom, -1)
	case s.y > 0:
		s.y--
	}
}

// scroll moves the scrolling lines up by n, and adds blank ones.
func (s *screen) scroll(top, bottom, n int) {
	was := append([][]rune(nil), s.cells[top:bottom]...)
	for y := top; y < bottom; y++ {
		if from := y + n; from >= top && from < bottom {
			s.cells[y] = was[from-top]
		} else {
			s.cells[y] = []rune(strings.Repeat(" ", s.width))
		}
	}
}

// sequence executes an escape sequence and returns its length; 0: it is incomplete.
func (s *screen) sequence(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	if data[1] == ']' {
		end := strings.IndexByte(string(data), 0x07)
		return end + 1
	}
	if data[1] != '[' {
		if data[1] == 'M' {
			s.up()
		}
		return 2
	}
	end := 2
	for end < len(data) && (data[end] < '@' || data[end] > '~') {
		end++
	}
	if end == len(data) {
		return 0
	}
	args := string(data[2:end])
	numbers := []int{0, 0}
	for i, text := range strings.SplitN(args, ";", 2) {
		numbers[i], _ = strconv.Atoi(text)
	}
	n := max(1, numbers[0])
	switch data[end] {
	case 'A':
		s.y = max(0, s.y-n)
	case 'B':
		s.y = min(s.height-1, s.y+n)
	case 'C':
		s.x = min(s.width-1, s.x+n)
	case 'D':
		s.x = max(0, s.x-n)
	case 'G':
		s.x = min(s.width, n) - 1
	case 'd':
		s.y = min(s.height, n) - 1
	case 'H', 'f':
		s.y, s.x = min(s.height, n)-1, min(s.width, max(1, numbers[1]))-1
	case 'J':
		if numbers[0] == 2 {
			s.scroll(0, s.height, s.height)
		} else {
			s.blank(s.y, s.x, s.width)
			s.scroll(s.y+1, s.height, s.height)
		}
	case 'L':
		s.scroll(s.y, s.bottom, -n)
	case 'M':
		s.scroll(s.y, s.bottom, n)
	case 'S':
		s.scroll(s.top, s.bottom, n)
	case 'T':
		s.scroll(s.top, s.bottom, -n)
	case 'r':
		s.top, s.bottom = n-1, s.height
		if numbers[1] > 0 {
			s.bottom = min(s.height, numbers[1])
		}
		s.x, s.y = 0, 0
	case 'K':
		from, to := s.x, s.width
		if numbers[0] > 0 {
			from = 0
		}
		if numbers[0] == 1 {
			to = s.x + 1
		}
		s.blank(s.y, from, to)
	case 'P':
		row := s.cells[s.y]
		copy(row[s.x:], row[min(s.x+n, s.width):])
		s.blank(s.y, max(s.x, s.width-n), s.width)
	case '@':
		row := s.cells[s.y]
		copy(row[min(s.x+n, s.width):], row[s.x:])
		s.blank(s.y, s.x, s.x+n)
	case 'X':
		s.blank(s.y, s.x, s.x+n)
	case 'h', 'l':
		if args == "?1049" {
			s.other(data[end] == 'h')
		}
	case 'm':
	default:
		panic(fmt.Sprintf("the test's terminal does not know %q", data[:end+1]))
	}
	return end + 1
}

func (s *screen) blank(y, from, to int) {
	for x := from; x < min(to, s.width); x++ {
		s.cells[y][x] = ' '
	}
}

// other switches to the alternate screen, or back.
func (s *screen) other(on bool) {
	switch {
	case on && s.first == nil:
		first := *s
		*s = screen{first: &first}
		s.resize(first.width, first.height)
	case !on && s.first != nil:
		*s = *s.first
	}
}
