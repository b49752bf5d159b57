package testenv

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestMain(m *testing.M) { Main(m) }

func TestNamespace(t *testing.T) {
	api, err := kubernetes.NewForConfig(Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	one, two := Namespace(t), Namespace(t)
	if one == two {
		t.Errorf("two tests have namespace %s", one)
	}
	if _, err := api.CoreV1().Namespaces().Get(t.Context(), one, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestRegistryAndImages(t *testing.T) {
	t.Parallel()
	if one, two := Registry(t), Registry(t); one != two {
		t.Errorf("Registry = %s, then %s; want one for the process", one, two)
	}
	dir := t.TempDir()
	for file, text := range map[string]string{"go.mod": "module hello\n", "main.go": "package main\n\nfunc main() { println(\"hello\") }\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for image, want := range map[string]string{Busybox(t): "/bin/sh", Program(t, dir): "/program"} {
		ref, err := name.NewDigest(image)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remote.Image(ref)
		if err != nil {
			t.Fatal(err)
		}
		config, err := got.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(config.Config.Cmd, " ") != want || config.OS != "linux" || len(config.RootFS.DiffIDs) != 1 {
			t.Errorf("%s has %+v, want command %s", image, config, want)
		}
		if layers, err := got.Layers(); err != nil || len(layers) != 1 {
			t.Errorf("%s has layers %v, %v, want one", image, layers, err)
		}
	}
}

func TestBuildKit(t *testing.T) {
	t.Parallel()
	c, err := client.New(t.Context(), BuildKit(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	workers, err := c.ListWorkers(t.Context())
	if err != nil || len(workers) == 0 {
		t.Errorf("workers %v, %v; want one", workers, err)
	}
}

// What tests start must be gone though they are killed: here a shell stands for
// the server.
func TestNothingIsLeftAfterAKill(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("TESTENV_LEAVE"); dir != "" {
		if err := afterUs(`rm -rf "$0"`, dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "started"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
	}
	dir := filepath.Join(t.TempDir(), "server")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeftAfterAKill$")
	child.Env = append(os.Environ(), "TESTENV_LEAVE="+dir)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "it has started", func() bool { _, err := os.Stat(filepath.Join(dir, "started")); return err == nil })
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	await(t, "its folder is gone", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
}

func TestSweep(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	folderAt := func(name string, at time.Time) string {
		dir := filepath.Join(os.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	ours, err := folder("px")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(ours, old, old); err != nil {
		t.Fatal(err)
	}
	dead := "px" + strconv.Itoa(ended.Process.Pid) + "-"
	stale, young, other := folderAt(dead+"1", old), folderAt(dead+"2", time.Now()), folderAt("pxy-1", old)
	var swept []string
	sweep("px", func(dir string) { swept = append(swept, dir) })
	if len(swept) != 1 || swept[0] != stale {
		t.Errorf("swept %v, want %s", swept, stale)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("%s: %v, want it gone", stale, err)
	}
	for _, kept := range []string{ours, young, other} {
		if _, err := os.Stat(kept); err != nil {
			t.Error(err)
		}
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("after a minute it is not so: %s", what)
}
