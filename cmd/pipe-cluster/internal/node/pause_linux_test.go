package node

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// becomePause makes the test binary execute the pause program, as the reaper of orphans.
const becomePause = "PIPE_CLUSTER_TEST_PAUSE"

func TestMain(m *testing.M) {
	if program := os.Getenv(becomePause); program != "" {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			panic(err)
		}
		// A child whose own child outlives it: both must be reaped.
		if _, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exec 3<&0; cat <&3 & exit 0"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}}); err != nil {
			panic(err)
		}
		panic(syscall.Exec(program, []string{"pause"}, nil))
	}
	os.Exit(m.Run())
}

func pauseFile(t *testing.T) string {
	t.Helper()
	b, err := pauseProgram(goruntime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(file, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// sleeps waits until a process executes the program and is waiting: it waits only for signals.
func sleeps(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		name, state, _ := strings.Cut(string(b), ") ")
		switch {
		case state[0] == 'Z':
			t.Fatal("it ended by itself")
		case state[0] == 'S' && strings.HasSuffix(name, "(pause"):
			return
		}
	}
	t.Fatal("it does not wait")
}

func TestPauseEndsWhenAskedTo(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command(pauseFile(t))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sleeps(t, cmd.Process.Pid) // a signal before its first instruction would also end it, but would not test it
		_ = cmd.Process.Signal(s)
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v, want exit status 0", s, err)
		}
	}
}

func TestPauseIsFirstOfItsNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "real") {
			t.Fatal("PIPE_TEST_REQUIRE names real, but making a namespace of processes needs root")
		}
		t.Skip("making a namespace of processes needs root")
	}
	cmd := exec.Command(pauseFile(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sleeps(t, cmd.Process.Pid)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v, want exit status 0", err)
	}
}

func TestPauseBuriesTheDead(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), becomePause+"="+pauseFile(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	orphan, err := cmd.StdinPipe() // which it reads until the end
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	sleeps(t, cmd.Process.Pid)
	children := fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid)
	saw := false
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(children)
		if err != nil {
			t.Fatalf("%v; %s", err, stderr.String())
		}
		if saw && len(bytes.TrimSpace(b)) == 0 {
			return
		}
		for child := range strings.FieldsSeq(string(b)) {
			if name, err := os.ReadFile("/proc/" + child + "/comm"); err == nil && string(name) == "cat\n" && !saw {
				saw = true // it has become a child, as its own parent is dead
				_ = orphan.Close()
			}
		}
	}
	b, _ := os.ReadFile(children)
	t.Errorf("children seen: %v; left: %s; %s", saw, b, stderr.String())
}

func TestPauseProgram(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		b, err := pauseProgram(arch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Progs[0].Filesz != uint64(len(b)) {
			t.Errorf("%s: %+v, %+v", arch, f.FileHeader, f.Progs[0].ProgHeader)
		}
	}
	if _, err := pauseProgram("riscv64"); err == nil {
		t.Error("no error for an architecture that is not there")
	}
}

func TestPauseArchive(t *testing.T) {
	b, err := pauseArchive("amd64")
	if err != nil {
		t.Fatal(err)
	}
	again, _ := pauseArchive("amd64")
	if !bytes.Equal(b, again) {
		t.Error("the same image has other bytes")
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name], _ = io.ReadAll(r)
	}
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%v: %s", err, files["index.json"])
	}
	m := index.Manifests[0]
	manifest, ok := files["blobs/sha256/"+strings.TrimPrefix(m.Digest, "sha256:")]
	if !ok || digest(manifest) != m.Digest || m.Annotations["io.containerd.image.name"] != PauseImage {
		t.Errorf("%+v points to %q", m, manifest)
	}
}
