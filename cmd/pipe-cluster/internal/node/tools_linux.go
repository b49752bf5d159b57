package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tool is an external program that the node needs.
type tool struct{ name, deb string }

var tools = []tool{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"nft", "nftables"},
}

// plugins are the required CNI plugins, which must be in the same directory.
var plugins = []string{"ptp", "host-local", "loopback"}

const pluginsDeb = "containernetworking-plugins"

// find returns the path of a program. It also looks in directories of daemons that are not in the
// PATH of an ordinary user.
func find(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return filepath.Abs(p)
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// pluginFolder returns the directory of the CNI plugins.
func pluginFolder() (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni") {
		if filepath.IsAbs(dir) && !slices.ContainsFunc(plugins, func(p string) bool {
			_, err := exec.LookPath(filepath.Join(dir, p))
			return err != nil
		}) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the CNI plugins (%s) are not installed", strings.Join(plugins, ", "))
}

// missing returns the Debian packages of the programs that are not installed.
func missing() []string {
	var debs []string
	for _, t := range tools {
		if _, err := find(t.name); err != nil {
			debs = append(debs, t.deb)
		}
	}
	if _, err := pluginFolder(); err != nil {
		debs = append(debs, pluginsDeb)
	}
	slices.Sort(debs)
	return slices.Compact(debs)
}

// Install installs the missing programs that the node needs from Debian packages.
func Install(ctx context.Context, say func(string, ...any)) error {
	debs := missing()
	if len(debs) == 0 {
		return nil
	}
	names := strings.Join(debs, " ")
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("a real node needs %s: install what brings these programs: %w", names, err)
	}
	say("installing %s with apt-get", names)
	install := append([]string{"install", "-y", "--no-install-recommends", "--no-remove"}, debs...)
	if first := runApt(ctx, say, apt, install...); first != nil {
		say("updating apt's lists and trying again")
		if err := runApt(ctx, say, apt, "update"); err != nil {
			return fmt.Errorf("install %s: %w", names, errors.Join(first, err))
		}
		if err := runApt(ctx, say, apt, install...); err != nil {
			return fmt.Errorf("a real node needs %s, and they cannot be installed: %w", names, err)
		}
	}
	if slices.Contains(debs, "containerd") && isDir("/run/systemd/system") {
		// The package starts a containerd for the machine, but only the program is needed.
		_ = exec.CommandContext(ctx, "systemctl", "disable", "--now", "containerd.service").Run()
	}
	if left := missing(); len(left) > 0 {
		return fmt.Errorf("%s were installed, but what they should bring is not there", strings.Join(left, " "))
	}
	return nil
}

// runApt runs apt-get, and reports its progress every few seconds.
func runApt(ctx context.Context, say func(string, ...any), apt string, args ...string) error {
	args = append([]string{"-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"}, args...)
	cmd := exec.CommandContext(ctx, apt, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for last, open := "no word yet", true; open; {
		select {
		case line, ok := <-lines:
			if open = ok; ok {
				last = line
			}
		case <-tick.C:
			say("apt-get: %s", last)
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", args[len(args)-1], err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
