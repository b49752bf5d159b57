package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/proc"
)

// machine has all state of the machine that a cluster may change and must restore.
func machine(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{
		"mounts":  mounts(t),
		"cgroups": cgroups(t),
		"kernel":  settings(t),
	}
	for what, cmd := range map[string][]string{
		"interfaces": {"ip", "-o", "link"},
		"addresses":  {"ip", "-o", "-4", "address"},
		"routes":     {"ip", "route"},
		"firewall":   {"nft", "list", "ruleset"},
	} {
		all[what] = lines(t, cmd)
	}
	return all
}

// same fails if the state of the machine differs from that before. It retries for a while, as other
// processes may change it for a moment.
func same(t *testing.T, before map[string][]string) {
	t.Helper()
	var diff string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if diff = cmp.Diff(before, machine(t)); diff == "" {
			return
		}
	}
	t.Errorf("the machine is not as it was (-before +after):\n%s", diff)
}

// gone fails if processes of the cluster in the directory are left.
func gone(t *testing.T, dir string) {
	t.Helper()
	for _, id := range proc.Marked(dir) {
		t.Errorf("process %d (%s) is left", id.PID, id.Name())
	}
}

func mounts(t *testing.T) []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(b)) {
		// BuildKit, which others may use, mounts the sources of copies for a moment.
		if point := strings.Fields(line)[4]; !strings.Contains(point, "containerd-mount") && !strings.Contains(point, "buildkit") {
			all = append(all, point)
		}
	}
	slices.Sort(all)
	return all
}

func cgroups(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, e os.DirEntry, err error) error {
		// Those of other processes may change at any time.
		if err == nil && e.IsDir() && strings.Contains(path, "pipe-cluster") {
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// settings returns the settings below /proc/sys, without counters and measurements.
func settings(t *testing.T) []string {
	t.Helper()
	counters := []string{
		"random/", "/file-nr", "/inode-nr", "/inode-state", "/dentry-state", "/quota/", "/nf_conntrack_count", "/ns_last_pid", "/pty/nr",
		"/aio-nr", "/perf_event_max_sample_rate", "/netdev_rss_key", "/cad_pid", "/nr_", "/sched_domain/", "/binfmt_misc/", "/stat_refresh",
	}
	var all []string
	_ = filepath.WalkDir("/proc/sys", func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || slices.ContainsFunc(counters, func(c string) bool { return strings.Contains(path, c) }) {
			return nil
		}
		// Interfaces of others and their settings may change at any time.
		if strings.Contains(path, "/conf/") || strings.Contains(path, "/neigh/") {
			if iface := strings.Split(path, "/")[6]; iface != "all" && iface != "default" {
				return nil
			}
		}
		if b, err := os.ReadFile(path); err == nil {
			all = append(all, path+" = "+strings.TrimSpace(string(b)))
		}
		return nil
	})
	return all
}

func lines(t *testing.T, args []string) []string {
	t.Helper()
	path := args[0]
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := exec.LookPath(path); err != nil {
			path = filepath.Join(dir, args[0])
		}
	}
	out, err := exec.Command(path, args[1:]...).Output()
	if err != nil {
		return nil // not installed, so there is nothing to show
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
