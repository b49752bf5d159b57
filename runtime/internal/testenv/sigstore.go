package testenv

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A SigstoreInstance is an instance of Sigstore.
type SigstoreInstance struct {
	Bin                        string // the directory of pipe-sigstore
	URL                        string
	TrustedRoot, SigningConfig string // JSON
}

// TokenURL is the address at which a job of CI requests its token, for a workflow, with the bearer token that
// follows.
func (s SigstoreInstance) TokenURL(workflow string) (address, bearer string) {
	return s.URL + "/token?who=" + workflow, "request-token-of-this-trial"
}

// Sigstore starts an instance of Sigstore, which ends with the test.
func Sigstore(t testing.TB) (s SigstoreInstance) {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	s.Bin = filepath.Join(dir, "bin")
	for _, program := range []string{"pipe-sigstore", "sigstore-trial"} {
		if _, err := os.Stat(filepath.Join(s.Bin, program)); err != nil {
			missing(t, "sigstore", fmt.Errorf("%w; build it with: make sigstore", err))
		}
	}
	files := t.TempDir()
	cmd := exec.Command(filepath.Join(s.Bin, "sigstore-trial"), files) // it ends with its standard input
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.URL = strings.TrimSpace(line)
	for name, to := range map[string]*string{"trusted_root.json": &s.TrustedRoot, "signing_config.json": &s.SigningConfig} {
		data, err := os.ReadFile(filepath.Join(files, name))
		if err != nil {
			t.Fatal(err)
		}
		*to = string(data)
	}
	return s
}
