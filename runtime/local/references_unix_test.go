//go:build !windows

package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// TestFetchCancelled: the program ends with the run.
func TestFetchCancelled(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(started, 0o600); err != nil {
		t.Fatal(err)
	}
	opts, _ := fakeManagers(t, "echo >'"+started+"'\nexec sleep 600\n")
	opts.Secrets, opts.Hide = Secrets{source(t, "s.yaml", "a: ref+vault://secret/a\n")}, []plan.SecretRef{{Name: "a"}}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	go func() {
		_, _ = os.ReadFile(started) // waits until the program writes
		cancel(stop)
	}()
	if err := opts.FetchSecrets(ctx); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
}
