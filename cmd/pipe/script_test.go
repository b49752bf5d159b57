package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pipe": pipe, "pipe-in-memory": inMemory})
}

// TestScript runs the scripts in testdata/script with the real command. Each script has its
// own home and no cluster. In addition to the commands of testscript there are
//
//	status N COMMAND…     runs the command, which must exit with status N
//	await FILE REGEXP     waits until a line of the file matches
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup:               isolate,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": scriptStatus, "await": scriptAwait},
	})
}

// isolate isolates a script from the user's files and settings.
func isolate(env *testscript.Env) error {
	// The path of a socket must be short: the directory of the script is too deep for it.
	home, err := os.MkdirTemp("", "pipe")
	if err != nil {
		return err
	}
	env.Defer(func() {
		stop := exec.Command("pipe", "daemon", "stop")
		stop.Env = append(os.Environ(), "PIPE_HOME="+home)
		if out, err := stop.CombinedOutput(); err != nil {
			env.T().Log("pipe daemon stop: ", err, string(out))
		}
		_ = os.RemoveAll(home)
	})
	for _, kv := range [][2]string{
		{"HOME", filepath.Join(env.WorkDir, "home")},
		{"PIPE_HOME", home},
		{"KUBECONFIG", "no-kubeconfig"},
		{"TMPDIR", os.TempDir()}, // that of the script is removed while background processes are still running
		{"XDG_STATE_HOME", ""},
		{"BUILDKIT_HOST", ""},
		{"CI", ""},
		{"NO_COLOR", ""},
		{"TERM", "xterm"},
		{"NOTHING", filepath.Join(env.WorkDir, "nothing")}, // a PATH without programs
	} {
		env.Setenv(kv[0], kv[1])
	}
	pipe, err := exec.LookPath("pipe") // where testscript has installed it
	if err != nil {
		return err
	}
	env.Setenv("PIPE", pipe)
	return nil
}

func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}
