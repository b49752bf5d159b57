package ui

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// terminal returns both ends of a pseudo terminal of 80 by 24.
func terminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { user.Close(); program.Close() })
	return user, program
}

// TestTTY draws on a real terminal. It checks that scrolled lines and the outcome remain,
// that the cursor is restored, and that no queries are sent to the terminal.
func TestTTY(t *testing.T) {
	user, program := terminal(t)
	var shown lockedBuilder
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(&shown, user) // returns an error when the other end is closed
	}()
	v := New(Options{Mode: TTY, Out: program, Color: true, Environ: []string{"TERM=xterm-kitty"}})
	start := time.Now()
	send := func(service string, body runtime.Body) {
		stage := ""
		if service != "" {
			stage = "one"
		}
		v.Event(runtime.Event{Time: start, Stage: stage, Service: service, Body: body})
	}
	send("", runtime.Printed{Pos: plan.Pos{File: "Pipelinefile", Line: 1}, Text: "hello"})
	send("", runtime.RunStarted{Action: runtime.Deploy, Namespace: "shop-default", Stages: []runtime.StageOutline{{Name: "one", Services: []string{"api"}}}})
	v.Event(runtime.Event{Time: start, Stage: "one", Body: runtime.StageStarted{}})
	send("api", runtime.StateChanged{State: runtime.Building})
	send("api", runtime.BuildStep{Name: "RUN make", Started: true})
	// The library draws asynchronously, and only the state at that time.
	for deadline := time.Now().Add(time.Minute); !strings.Contains(shown.String(), "RUN make"); time.Sleep(frame) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute the step is not shown in:\n%q", shown.String())
		}
	}
	send("api", runtime.StateChanged{State: runtime.Done})
	v.Event(runtime.Event{Time: start, Stage: "one", Body: runtime.StageEnded{}})
	send("", runtime.RunEnded{})
	v.Note("a last word")
	v.Close()
	program.Close()
	<-ended
	got := shown.String()

	for _, want := range []string{"Pipelinefile:1: hello", "deploy shop-default", "1 done", "a last word"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q was not shown in:\n%q", want, got)
		}
	}
	if !strings.Contains(got, "\x1b[3") {
		t.Errorf("no colour in:\n%q", got)
	}
	if strings.LastIndex(got, "\x1b[?25h") <= strings.LastIndex(got, "\x1b[?25l") {
		t.Errorf("the cursor does not come back:\n%q", got)
	}
	if q := regexp.MustCompile(`\x1b\[[?>=]?[0-9;]*(c|n|\$p)|\x1b\][0-9;]*\?|\x1b\[\?u`).FindString(got); q != "" {
		t.Errorf("the terminal is asked %q", q)
	}
}

// TestLastLines ends a view while lines for the scrollback are still being written, and
// checks that the end waits for them.
func TestLastLines(t *testing.T) {
	s := &screen{view: &ttyView{model: newModel(), above: []string{"a last word"}}}
	if s.flush() == nil {
		t.Fatal("no line is handed over")
	}
	if _, cmd := s.Update(endMsg{}); cmd != nil {
		t.Error("the end does not wait for the line")
	}
	if _, cmd := s.Update(printedMsg{}); cmd == nil {
		t.Error("no end although the line has been written")
	}
}
