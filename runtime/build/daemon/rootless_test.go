//go:build linux

package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ordinary is a user ID that no system uses.
const ordinary = 424242

// TestRootless runs the tests of this package as an ordinary user. That requires a user with
// subordinate user IDs, which exists only in the view of /etc of this process and its
// children.
func TestRootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests run as an ordinary user already")
	}
	for _, program := range []string{"rootlesskit", "newuidmap", "unshare", "setpriv"} {
		if _, ok := find(program); !ok {
			unavailable(t, fmt.Errorf("there is no %s: install the packages rootlesskit, uidmap and util-linux", program))
		}
	}
	//nolint:usetesting // an ordinary user may enter it
	dir, err := os.MkdirTemp("", "rl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(dir, 0o711), os.Chown(home, ordinary, ordinary)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var mounts strings.Builder
	for file, line := range map[string]string{
		"passwd": fmt.Sprintf("ordinary:x:%d:%d::%s:/bin/sh", ordinary, ordinary, home),
		"group":  fmt.Sprintf("ordinary:x:%d:", ordinary),
		"subuid": "ordinary:500000:65536",
		"subgid": "ordinary:500000:65536",
	} {
		old, err := os.ReadFile("/etc/" + file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(strings.TrimSpace(string(old))+"\n"+line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&mounts, "mount --bind %s /etc/%s; ", path, file)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "daemon.test")
	if out, err := exec.Command("install", "-m", "755", exe, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("unshare", "--mount", "--", "sh", "-e", "-c", mounts.String()+
		fmt.Sprintf(`cd %s; exec setpriv --reuid %d --regid %d --clear-groups "$@"`, home, ordinary, ordinary), "sh",
		program, "-test.run=^(TestEnsure|TestServeLongPath|TestStopWhileBuilding|TestSweep|TestIdle)$", "-test.v", "-test.timeout=10m")
	cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "USER=ordinary", "TMPDIR=" + home,
		"PIPE_TEST_REQUIRE=" + os.Getenv("PIPE_TEST_REQUIRE"),
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	} else if strings.Contains(string(out), "--- SKIP") {
		unavailable(t, fmt.Errorf("as an ordinary user:\n%s", out))
	}
	if left := processesOf(t, ordinary); left != "" {
		t.Errorf("processes of the ordinary user are left: %s", left)
	}
}

// processesOf returns the running processes of a user.
func processesOf(t *testing.T, uid int) string {
	t.Helper()
	states, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range states {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		text := string(data)
		if strings.Contains(text, fmt.Sprintf("\nUid:\t%d\t", uid)) && !strings.Contains(text, "\nState:\tZ") {
			name, _, _ := strings.Cut(text, "\n")
			found = append(found, file+" "+name)
		}
	}
	return strings.Join(found, ", ")
}
