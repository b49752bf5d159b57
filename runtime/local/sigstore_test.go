package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// fakeSigstore returns a client of a program pipe-sigstore that is a script, which reads its request into the
// file "request" of the directory that is returned.
func fakeSigstore(t *testing.T, script string) (s sigstore, dir string) {
	t.Helper()
	dir = t.TempDir()
	script = "#!/bin/sh\ncat >" + filepath.Join(dir, "request") + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, sigstoreProgram), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return sigstore{executable: filepath.Join(dir, "pipe"), cache: "/cache"}, dir
}

// TestSigstore: what pipe-sigstore is asked, and what it may answer.
func TestSigstore(t *testing.T) {
	ann := plan.Identity{Issuer: "https://issuer.test", Name: "ann@acme.test"}
	verify := func(s sigstore) ([]string, error) {
		return s.verify(t.Context(), "sha256:00", []plan.Identity{ann}, [][]byte{[]byte("x")})
	}
	s, dir := fakeSigstore(t, `echo '{"version": 1, "found": ["bob has signed it"]}'`)
	found, err := verify(s)
	if err != nil || len(found) != 1 || found[0] != "bob has signed it" {
		t.Errorf("verify = %q, %v", found, err)
	}
	asked, err := os.ReadFile(filepath.Join(dir, "request"))
	want := `{"version":1,"cache":"/cache","verify":{"digest":"sha256:00","identities":[{"issuer":"https://issuer.test","name":"ann@acme.test"}],"bundles":["eA=="]}}`
	if err != nil || string(asked) != want {
		t.Errorf("the request is %s, %v; want %s", asked, err, want)
	}
	for script, want := range map[string]string{
		`echo '{"version": 2}'`: "pipe and pipe-sigstore must be of the same version",
		`echo hidden`:           "pipe and pipe-sigstore must be of the same version",
		`exit 3`:                "pipe-sigstore: exit status 3",
		`echo '{"version": 1, "error": {"message": "the trusted root is damaged", "do": "write it again"}}'`: "the trusted root is damaged",
	} {
		s, _ := fakeSigstore(t, script)
		if _, err := verify(s); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
	s, _ = fakeSigstore(t, `echo '{"version": 1, "error": {"message": "no token", "do": "set it", "noToken": true}}'`)
	err = s.hasToken(t.Context())
	if advice, _ := runtime.AdviceOf(err); !errors.Is(err, runtime.ErrNotFound) || advice.Do != "set it" {
		t.Errorf("hasToken = %v, advice %q", err, advice.Do)
	}
	s, _ = fakeSigstore(t, `echo '{"version": 1}'`)
	if _, err := s.sign(t.Context(), "sha256:00", plan.Keyless{Identity: ann}); err == nil {
		t.Error("sign accepts a response without a signature")
	}
	t.Setenv("PATH", t.TempDir())
	s.executable = "/nowhere/pipe"
	_, err = verify(s)
	if advice, _ := runtime.AdviceOf(err); err == nil || !strings.Contains(err.Error(), "signatures without keys need pipe-sigstore, which is neither /nowhere/pipe-sigstore nor on the PATH") || !strings.Contains(advice.Do, "make sigstore") {
		t.Errorf("without the program: %v, advice %q", err, advice.Do)
	}
}

// TestSigstoreCancelled: the program, and what it has started, ends with the context.
func TestSigstoreCancelled(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	s, _ := fakeSigstore(t, "mkfifo "+started+"; (sleep 1000000) & echo >"+started+"; sleep 1000000")
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	go func() {
		for ctx.Err() == nil {
			if _, err := os.ReadFile(started); err == nil { // it waits for the writer
				cancel(stopped)
			}
		}
	}()
	if err := s.hasToken(ctx); !errors.Is(err, stopped) {
		t.Errorf("hasToken = %v, want the cause of the cancellation", err)
	}
}
