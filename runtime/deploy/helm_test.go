package deploy_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// helmCommand returns the path of the real helm, built once for this process from the
// version that the module requires. A copy of go.mod gets its dependencies that the module
// does not need.
var helmCommand = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pipe-helm-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "helm")
	cmd := exec.Command("go", "build", "-mod=mod", "-o", path, "helm.sh/helm/v3/cmd/helm")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build helm: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	testenv.Main(m, func() {
		if built {
			if path, err := helmCommand(); err == nil {
				os.RemoveAll(filepath.Dir(path))
			}
		}
	})
}

var built bool // helm was called

// helm returns a function that runs the real helm on the cluster for tests.
func helm(t testing.TB) func(args ...string) (string, error) {
	t.Helper()
	kubeconfig := testenv.Kubeconfig(t)
	built = true
	path, err := helmCommand()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return func(args ...string) (string, error) {
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			return stdout.String(), fmt.Errorf("helm %v: %w\n%s", args, err, stderr.String())
		}
		return stdout.String(), nil
	}
}
