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

// ownerFile names the one real cluster of this machine. It does not outlive a reboot, and neither does anything else that
// a cluster has on the machine outside of its folder.
const ownerFile = "/run/pipe-cluster"

// maxDir is how long the path of the cluster's folder may be: a socket's path has 107 bytes, and the longest socket is
// kubelet/pod-resources/kubelet.sock.
const maxDir = 107 - len("/kubelet/pod-resources/kubelet.sock")

// Check says why this machine, or this user on it, cannot be a real node; nil if it can.
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

// Owner is the folder of the machine's real cluster, if it has one, also one that was killed.
func Owner() (home.Dir, bool) {
	d, err := os.Readlink(ownerFile)
	return home.Dir(d), err == nil
}

// Claim makes the cluster in the folder the machine's real one.
func Claim(d home.Dir) error {
	if len(d) > maxDir {
		return fmt.Errorf("the path %s is too long for the sockets below it: choose one of at most %d bytes with --dir", d, maxDir)
	}
	// A link is made with its content, or not at all.
	err := os.Symlink(string(d), ownerFile)
	if errors.Is(err, os.ErrExist) {
		if owner, ok := Owner(); ok && owner != d {
			return fmt.Errorf("this machine has a real cluster already, in %s: use that, or end it with `pipe-cluster down --dir %s`", owner, owner)
		}
		return nil
	}
	return err
}

// Up makes the machine ready for containerd, the kubelet and kube-proxy.
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

// Sweep leaves nothing of the cluster on the machine but the files in its folder: it ends every process, also of
// containers, and removes mounts, cgroups, interfaces and firewall tables. It works for a cluster that was killed and for
// one whose folder is gone.
func Sweep(ctx context.Context, d home.Dir) error {
	if owner, ok := Owner(); !ok || owner != d {
		return unmountAll(d)
	}
	var errs []error
	errs = append(errs, downCgroups(ctx))
	for _, id := range proc.Marked(string(d)) { // shims, now that their containers are gone
		if id.PID != os.Getpid() && shim(id) {
			errs = append(errs, id.Stop(ctx, 0))
		}
	}
	errs = append(errs, unmountAll(d))
	c, known, err := d.ReadConfig()
	if err == nil && !known || errors.Is(err, home.ErrDamaged) {
		c, err = Networks() // the usual ones, most likely
	}
	errs = append(errs, err, downNetwork(ctx, c), downSysctls(d))
	sweepFiles(d)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return os.Remove(ownerFile)
}

// Shim reports whether the process holds containers, and so must not be ended when the cluster is repaired.
func Shim(id proc.ID) bool { return shim(id) }

func shim(id proc.ID) bool { return strings.HasPrefix(id.Name(), "containerd-shim") }

// sweepFiles removes what containerd, the CNI plugins and the kubelet leave in folders of the machine. Whatever stays is
// without effect, so errors do not matter.
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
	// Only if nobody else's is in them.
	for _, dir := range []string{"/var/lib/cni/results", "/var/lib/cni", "/var/log/containers"} {
		_ = os.Remove(dir)
	}
}
