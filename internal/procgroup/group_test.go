//go:build !windows

package procgroup_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/procgroup"
)

// TestMain lets the test binary also act as a process that runs a command in a group, and is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "run-in-group" {
		group, err := procgroup.New()
		if err != nil {
			os.Exit(1)
		}
		cmd := command(os.Args[2])
		cmd.Stdout = os.Stdout
		if err := group.Start(cmd); err != nil {
			os.Exit(1)
		}
		io.Copy(io.Discard, os.Stdin)
	}
	os.Exit(m.Run())
}

// command returns a command that prints a line, as does a process that it starts, and that then does
// not end by itself.
func command(script string) *exec.Cmd { return exec.Command("/bin/sh", "-c", script) }

const two = "(echo started; sleep 1000000) & echo started; sleep 1000000"

// opened starts a command, and returns its output when both of its processes have started. The output
// ends when both have ended.
func opened(t *testing.T, start func(stdout *os.File) error) *bufio.Reader {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	err = start(in)
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for range 2 {
		if line, err := r.ReadString('\n'); line != "started\n" {
			t.Fatalf("the command printed %q, %v", line, err)
		}
	}
	return r
}

// TestKilled: a process that is killed with SIGKILL leaves nothing behind.
func TestKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "run-in-group", two)
	if _, err := parent.StdinPipe(); err != nil { // which does not end
		t.Fatal(err)
	}
	out := opened(t, func(stdout *os.File) error {
		parent.Stdout = stdout
		return parent.Start()
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait()
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("the command printed %q, %v", rest, err)
	}
}

// TestKill: all processes of a group are killed, also those that ignore that they are asked to end.
func TestKill(t *testing.T) {
	group, err := procgroup.New()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command("trap 'echo asked' TERM; (trap 'echo asked' TERM; echo started; while :; do sleep 1000000 & wait $!; done) & echo started; while :; do sleep 1000000 & wait $!; done")
	out := opened(t, func(stdout *os.File) error {
		cmd.Stdout = stdout
		return group.Start(cmd)
	})
	group.Ask()
	for range 2 {
		if line, err := out.ReadString('\n'); line != "asked\n" {
			t.Fatalf("the command printed %q, %v", line, err)
		}
	}
	group.Kill()
	group.Kill()
	group.Ask()
	cmd.Wait()
	if rest, err := io.ReadAll(out); err != nil || strings.Trim(string(rest), "asked\n") != "" {
		t.Errorf("the command printed %q, %v", rest, err)
	}
}

// TestRelease: what a command has left behind goes on.
func TestRelease(t *testing.T) {
	group, err := procgroup.New()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command("(echo started; read -r line <&3; echo $line) & echo started")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd.ExtraFiles = []*os.File{r}
	out := opened(t, func(stdout *os.File) error {
		cmd.Stdout = stdout
		return group.Start(cmd)
	})
	r.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	group.Release()
	group.Kill()
	if _, err := io.WriteString(w, "alive\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := out.ReadString('\n'); line != "alive\n" {
		t.Errorf("what was left behind printed %q, %v", line, err)
	}
}
