//go:build unix

package deploy_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

// TestStopped suspends a process in the middle of its writes, before it records that a
// revision is deployed, for so long that another run takes the environment over. When it is
// resumed, it does not write anything, and says why (A5).
func TestStopped(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	f := fate{Action: "deploy 1", Key: v.key, Write: 13, After: true, Stop: true, Lease: 8 * time.Second}
	child, out := f.start(t)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(child.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v: it was to be stopped, and is %v, %v\n%s", f, status, err, out)
	}
	err := perform(t.Context(), runtimeOn(t, testenv.Cluster(t)), v.key, "deploy 2")
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
	ended := child.Wait()
	must(t, err)
	if ended == nil || !strings.Contains(out.String(), "the lease of the environment was lost") {
		t.Errorf("%v: it ended with %v\n%s", f, ended, out)
	}
	v.check("deploy 2")
}
