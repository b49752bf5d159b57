package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// controllers are those that the kubelet requires in its cgroup.
var controllers = []string{"cpu", "cpuacct", "cpuset", "memory", "pids"}

// hierarchies returns the mount points of the cgroup hierarchies: version 2 has one, and version 1 has
// one for each controller, and often that of version 2 in addition, without controllers.
func hierarchies() (points []string, v2 bool, err error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, false, err
	}
	points, v2 = cgroupMounts(parseMounts(string(b)))
	return points, v2, nil
}

func cgroupMounts(all []mount) (points []string, v2 bool) {
	v2 = true
	for _, m := range all {
		if strings.HasPrefix(m.point, "/sys/fs/cgroup") && (m.kind == "cgroup" || m.kind == "cgroup2") {
			points = append(points, m.point)
			v2 = v2 && m.kind == "cgroup2"
		}
	}
	return points, v2
}

// checkCgroups returns what is missing to create cgroups for pods, or nil.
func checkCgroups() error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	all := parseMounts(string(b))
	points, v2 := cgroupMounts(all)
	if len(points) == 0 {
		return errors.New("no cgroups are mounted on /sys/fs/cgroup")
	}
	var have []string
	if v2 {
		b, err := os.ReadFile(filepath.Join(points[0], "cgroup.controllers"))
		if err != nil {
			return err
		}
		have = append(strings.Fields(string(b)), "cpuacct") // part of cpu in version 2
	} else {
		for _, m := range all {
			if m.kind == "cgroup" {
				have = append(have, m.options...)
			}
		}
	}
	for _, c := range controllers {
		if !slices.Contains(have, c) {
			return fmt.Errorf("no %s controller of cgroups", c)
		}
	}
	for _, p := range points {
		if unix.Access(p, unix.W_OK) != nil {
			return fmt.Errorf("%s is read-only", p)
		}
	}
	return nil
}

// upCgroups creates the cgroup below which the kubelet creates those of the pods.
func upCgroups() error {
	points, v2, err := hierarchies()
	if err != nil {
		return err
	}
	for _, p := range points {
		dir := filepath.Join(p, cgroup)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if v2 {
			for _, c := range []string{"cpu", "cpuset", "memory", "pids", "io"} {
				// The kubelet reports a missing controller better than an error here would.
				_ = os.WriteFile(filepath.Join(p, "cgroup.subtree_control"), []byte("+"+c), 0)
			}
		}
		// A new cpuset is empty, so that no process can enter it.
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			b, err := os.ReadFile(filepath.Join(p, f))
			if v2 || err != nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, f), b, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// downCgroups kills every process in the cluster's cgroups and removes them.
func downCgroups(ctx context.Context) error {
	points, _, err := hierarchies()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("their processes do not end"))
	defer cancel()
	for {
		var left []string
		for _, p := range points {
			left = append(left, removeCgroup(filepath.Join(p, cgroup))...)
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroups %s: %w", strings.Join(left, ", "), context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// removeCgroup kills the processes in a cgroup and those below it, removes the cgroups that are empty,
// and returns the remaining ones.
func removeCgroup(dir string) (left []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			left = append(left, removeCgroup(filepath.Join(dir, e.Name()))...)
		}
	}
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	// A frozen process cannot be killed.
	_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
	_ = os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		left = append(left, dir)
	}
	return left
}
