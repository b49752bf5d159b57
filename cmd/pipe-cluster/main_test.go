package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asProgram makes the test binary run pipe-cluster. Background processes inherit the variable, so they
// also run the code under test.
const asProgram = "PIPE_CLUSTER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// required reports whether a test that cannot run fails (make test) or is skipped (plain go test).
func required(what string) bool {
	for w := range strings.SplitSeq(os.Getenv("PIPE_TEST_REQUIRE"), ",") {
		if w == what {
			return true
		}
	}
	return false
}

// pipeCluster runs the command and returns what it printed.
func pipeCluster(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("pipe-cluster %s: %v\n%s%s", strings.Join(args, " "), cmd.ProcessState, errs.String(), out.String())
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs the command and fails the test if the command fails.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := pipeCluster(t, args...)
	if status != 0 {
		logs(t, args)
		t.Fatalf("pipe-cluster %s: status %d: %s", strings.Join(args, " "), status, errs)
	}
	return out
}

// logs shows the last lines of the logs of the cluster that the arguments select.
func logs(t *testing.T, args []string) {
	t.Helper()
	for i, a := range args {
		if a != "--dir" {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(args[i+1], "logs", "*.log"))
		for _, f := range files {
			b, _ := os.ReadFile(f)
			t.Logf("%s:\n%s", f, b[max(0, len(b)-3000):])
		}
	}
}
