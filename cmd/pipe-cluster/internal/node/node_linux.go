package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// ownerFile names the only real cluster of this machine. It does not survive a reboot, and neither
// does anything else that a cluster has on the machine outside its directory.
const ownerFile = "/run/pipe-cluster"

// maxDir is the maximum length of the path of the cluster's directory: the path of a socket has at
// most 107 bytes, and the longest one is kubelet/pod-resources/kubelet.sock.
const maxDir = 107 - len("/kubelet/pod-resources/kubelet.sock")

// Check returns why this machine, or this user on it, cannot be a real node, or nil if it can.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	if err := checkCgroups(); err != nil {
		return err
	}
	if !hasOverlay() {
		_ = exec.Command("modprobe", "overlay").Run()
		if !hasOverlay() {
			return errors.New("the kernel has no overlay file system")
		}
	}
	if debs := missing(); len(debs) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return fmt.Errorf("%s are not installed, and there is no apt-get to install them", strings.Join(debs, ", "))
		}
	}
	return nil
}

func hasOverlay() bool {
	b, err := os.ReadFile("/proc/filesystems")
	return err == nil && strings.Contains(string(b), "\toverlay\n")
}

// Owner returns the directory of the machine's real cluster, if it has one, even if it was killed.
func Owner() (home.Dir, bool) {
	d, err := os.Readlink(ownerFile)
	return home.Dir(d), err == nil
}

// Claim makes the cluster in a directory the real cluster of the machine.
func Claim(d home.Dir) error {
	if len(d) > maxDir {
		return fmt.Errorf("the path %s is too long for the sockets below it: choose one of at most %d bytes with --dir", d, maxDir)
	}
	// Creating a symbolic link is atomic, including its content.
	err := os.Symlink(string(d), ownerFile)
	if errors.Is(err, os.ErrExist) {
		if owner, ok := Owner(); ok && owner != d {
			return fmt.Errorf("this machine has a real cluster already, in %s: use that, or end it with `pipe-cluster down --dir %s`", owner, owner)
		}
		return nil
	}
	return err
}

// Up prepares the machine for containerd, the kubelet and kube-proxy.
func Up(ctx context.Context, d home.Dir, c home.Config) error {
	if err := Check(); err != nil {
		return err
	}
	if err := Claim(d); err != nil {
		return err
	}
	if err := os.MkdirAll(d.Path("node"), 0o700); err != nil {
		return err
	}
	if err := upSysctls(d); err != nil {
		return fmt.Errorf("kernel settings: %w", err)
	}
	if err := upCgroups(); err != nil {
		return fmt.Errorf("cgroups: %w", err)
	}
	if err := upNetwork(ctx, c); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	return writeConfigs(d, c)
}

// Sweep removes everything of the cluster from the machine except the files in its directory: it ends
// every process, including those of containers, and removes mounts, cgroups, interfaces and firewall
// tables. It also works for a cluster that was killed, and for one whose directory does not exist.
func Sweep(ctx context.Context, d home.Dir) error {
	if owner, ok := Owner(); !ok || owner != d {
		return unmountAll(d)
	}
	var errs []error
	errs = append(errs, downCgroups(ctx))
	for _, id := range proc.Marked(string(d)) { // shims, whose containers have ended
		if id.PID != os.Getpid() && shim(id) {
			errs = append(errs, id.Stop(ctx, 0))
		}
	}
	errs = append(errs, unmountAll(d))
	c, known, err := d.ReadConfig()
	if err == nil && !known || errors.Is(err, home.ErrDamaged) {
		c, err = Networks() // most likely the default ones
	}
	errs = append(errs, err, downNetwork(ctx, c), downSysctls(d))
	sweepFiles(d)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return os.Remove(ownerFile)
}

// Shim reports whether the process is the parent of containers, so that it must not be ended when the
// cluster is repaired.
func Shim(id proc.ID) bool { return shim(id) }

func shim(id proc.ID) bool { return strings.HasPrefix(id.Name(), "containerd-shim") }

// sweepFiles removes files that containerd, the CNI plugins and the kubelet leave in directories of
// the machine. Remaining files have no effect, so errors are ignored.
func sweepFiles(d home.Dir) {
	shims, _ := filepath.Glob(filepath.Join(d.Run(), "containerd", "io.containerd.runtime.v2.task", "*", "*", "address"))
	for _, f := range shims {
		if b, err := os.ReadFile(f); err == nil {
			_ = os.Remove(strings.TrimPrefix(strings.TrimSpace(string(b)), "unix://"))
		}
	}
	results, _ := filepath.Glob("/var/lib/cni/results/" + network + "-*")
	for _, f := range results {
		_ = os.Remove(f)
	}
	links, _ := filepath.Glob("/var/log/containers/*.log")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, string(d)+"/") {
			_ = os.Remove(l)
		}
	}
	// These are removed only if they are empty.
	for _, dir := range []string{"/var/lib/cni/results", "/var/lib/cni", "/var/log/containers"} {
		_ = os.Remove(dir)
	}
}
