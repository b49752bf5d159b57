//go:build linux

package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"
)

// cgroupsIn makes the files of cgroups that limits are written to, as a kernel would: "name" or
// "name=content".
func cgroupsIn(t *testing.T, files ...string) cgroupFiles {
	t.Helper()
	root := t.TempDir()
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return findCgroups(root)
}

// TestCgroupLimits: what is written, in both versions.
func TestCgroupLimits(t *testing.T) {
	t.Parallel()
	v1 := cgroupsIn(t, "cpu/tasks", "memory/tasks", "cpu/p/0/cpu.cfs_period_us", "cpu/p/0/cpu.cfs_quota_us", "memory/p/0/memory.limit_in_bytes")
	v2 := cgroupsIn(t, "cgroup.controllers=cpuset cpu io memory pids\n", "cgroup.subtree_control", "p/cgroup.subtree_control", "p/0/cpu.max", "p/0/memory.max")
	for _, row := range []struct {
		limits groupLimits
		v1, v2 string
	}{
		{groupLimits{period: 100_000, quota: 400_000, memory: 4 << 30}, "100000 400000 4294967296", "+cpu +memory 400000 100000 4294967296"},
		{groupLimits{memory: 1 << 20}, "100000 -1 1048576", "+cpu +memory max 100000 1048576"},
		{groupLimits{quota: 50_000}, "100000 50000 -1", "+cpu +memory 50000 100000 max"},
	} {
		for _, test := range []struct {
			files cgroupFiles
			names []string
			want  string
		}{
			{v1, []string{"cpu/p/0/cpu.cfs_period_us", "cpu/p/0/cpu.cfs_quota_us", "memory/p/0/memory.limit_in_bytes"}, row.v1},
			{v2, []string{"p/cgroup.subtree_control", "p/0/cpu.max", "p/0/memory.max"}, row.v2},
		} {
			if err := test.files.limit("p/0", row.limits); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, name := range test.names {
				text, err := os.ReadFile(filepath.Join(test.files.root, name))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(text))
			}
			if all := strings.Join(got, " "); all != test.want {
				t.Errorf("of %+v, %q was written, want %q", row.limits, all, test.want)
			}
		}
	}
}

// TestReadOnlyCgroups: no build can run a command if cgroups are read-only, and in version 1 if those of a
// controller are.
func TestReadOnlyCgroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	t.Parallel()
	for _, test := range []struct {
		name, file, mount, fails string // mount is what is read-only, and fails what the error names
	}{
		{"version 2", "cgroup.controllers", "", "/cgroups"},
		{"version 1", "memory/tasks", "", "/cgroups/memory"},
		{"one of version 1", "memory/tasks", "memory", "/cgroups/memory"},
		{"writable", "cgroup.controllers", "other", ""},
	} {
		root := filepath.Join(t.TempDir(), "cgroups")
		mount := filepath.Join(root, test.mount)
		if err := os.MkdirAll(mount, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", mount, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(mount, 0); err != nil {
				t.Error(err)
			}
		})
		file := filepath.Join(root, test.file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("cpu memory\n"), 0o644), unix.Mount("", mount, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")); err != nil {
			t.Fatal(err)
		}
		err := findCgroups(root).writable()
		if test.fails == "" && err == nil {
			continue
		}
		if want := test.fails + " is mounted read-only"; test.fails == "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", test.name, err, want)
		}
	}
}

// TestLimitsOf: which limits the commands of a build can have, together and each, and what BuildKit says of it.
func TestLimitsOf(t *testing.T) {
	t.Parallel()
	const (
		mountedCPU    = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
		mountedMemory = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n"
		hybrid        = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
	)
	both := []string{"cgroup.controllers=cpu memory", "cgroup.subtree_control", "p/cgroup.subtree_control"}
	for _, row := range []struct {
		name     string
		files    []string
		mounts   string
		together string
		each     controlled
		missing  string
	}{
		{"version 1", []string{"cpu/tasks", "memory/tasks", "unified/cgroup.controllers"}, mountedCPU + mountedMemory + hybrid, "cpu memory", controlled{true, true}, ""},
		{"version 1, mounted elsewhere", nil, mountedCPU + mountedMemory, "", controlled{true, true}, ""},
		{"version 1, memory in version 2", []string{"cpu/tasks", "unified/cgroup.controllers=memory"}, mountedCPU + hybrid, "cpu", controlled{cpu: true},
			"the memory of builds is not limited: the system has no cgroup controller for it"},
		{"version 2", both, "", "cpu memory", controlled{true, true}, ""},
		{"version 2, a domain", append(both, "p/0/cgroup.type=domain\n"), "", "cpu memory", controlled{true, true}, ""},
		{"version 2, no memory", []string{"cgroup.controllers=cpuset cpu io pids\n", "cgroup.subtree_control", "p/cgroup.subtree_control"}, "", "cpu", controlled{cpu: true},
			"the memory of builds is not limited: the system has no cgroup controller for it"},
		{"version 2, no CPU", []string{"cgroup.controllers=memory pids\n", "cgroup.subtree_control", "p/cgroup.subtree_control"}, "", "memory", controlled{memory: true},
			"the CPU time of builds is not limited: the system has no cgroup controller for it"},
		{"version 2, none of both", []string{"cgroup.controllers=pids\n", "cgroup.subtree_control"}, "", "", controlled{},
			"the CPU time and the memory of builds are not limited: there is no cgroup controller of the CPU or of memory in ROOT"},
		{"version 2, not a domain", append(both, "p/0/cgroup.type=domain invalid\n"), "", "", controlled{},
			`the CPU time and the memory of builds are not limited: a cgroup in ROOT is "domain invalid", and not a domain`},
		{"version 2, not delegated", []string{"cgroup.controllers=cpu memory"}, "", "", controlled{},
			"the CPU time and the memory of builds are not limited: open ROOT/cgroup.subtree_control: no such file or directory"},
		{"no cgroups", nil, "", "", controlled{},
			"the CPU time and the memory of builds are not limited: there is no cgroup controller of the CPU or of memory in ROOT"},
	} {
		files := cgroupsIn(t, row.files...)
		l := limitsOf(files, row.mounts, "p")
		together := ""
		if l.groups != nil {
			together = strings.Join(l.groups.files.controllers.names(), " ")
		}
		if missing := strings.ReplaceAll(l.missing(), files.root, "ROOT"); together != row.together || l.each != row.each || missing != row.missing {
			t.Errorf("%s: limits together of %q, each of %+v, missing %q; want %q, %+v, %q", row.name, together, l.each, missing, row.together, row.each, row.missing)
		}
	}
	for errno, want := range map[syscall.Errno]string{
		syscall.EBUSY:      "the CPU time of builds is not limited: the topmost cgroup of this container contains processes",
		syscall.EOPNOTSUPP: "the CPU time of builds is not limited: the topmost cgroup of this container contains processes",
		syscall.EINVAL:     "the CPU time of builds is not limited: Linux has no cgroup controller of the CPU while a realtime process",
	} {
		l := &limits{each: controlled{memory: true}, why: &os.PathError{Op: "write", Path: "cgroup.subtree_control", Err: errno}}
		if text := l.missing(); !strings.HasPrefix(text, want) {
			t.Errorf("of %v, missing = %q, want %q", errno, text, want)
		}
	}
}

// TestLimitsHere: the kernel of this machine takes the limits of a build, and the cgroup is removed.
func TestLimitsHere(t *testing.T) {
	t.Parallel()
	l := newLimits(t.TempDir())
	if l.groups == nil {
		unavailable(t, fmt.Errorf("limits of a whole build: %w", l.why))
	}
	files := l.groups.files
	name, leave := l.groups.enter(7, &pb.LinuxResources{CpuPeriod: 50_000, CpuQuota: 100_000, Memory: 64 << 20})
	leave = sync.OnceFunc(leave)
	defer leave()
	want := map[string]string{}
	switch {
	case files.unified && files.controllers.cpu:
		want[name+"/cpu.max"] = "100000 50000"
	case files.controllers.cpu:
		want["cpu/"+name+"/cpu.cfs_quota_us"], want["cpu/"+name+"/cpu.cfs_period_us"] = "100000", "50000"
	}
	switch {
	case files.unified && files.controllers.memory:
		want[name+"/memory.max"] = "67108864"
	case files.controllers.memory:
		want["memory/"+name+"/memory.limit_in_bytes"] = "67108864"
	}
	for file, limit := range want {
		if got, err := os.ReadFile(filepath.Join(files.root, file)); err != nil || strings.TrimSpace(string(got)) != limit {
			t.Errorf("%s: %q, %v; want %q", file, got, err, limit)
		}
	}
	leave()
	left, _ := filepath.Glob(filepath.Join(files.root, "*", l.groups.base))
	if _, err := os.Stat(filepath.Join(files.root, l.groups.base)); err == nil || len(left) > 0 {
		t.Errorf("cgroups are left in %s: %q", files.root, left)
	}
}

// TestLimitsOfCommand: BuildKit sets the limits that the system has, and never a weight that is a name.
func TestLimitsOfCommand(t *testing.T) {
	t.Parallel()
	asked := &pb.LinuxResources{CpuShares: 7, CpuPeriod: 100, CpuQuota: 400, Memory: 5, MemorySwap: 6, CpusetCpus: "0"}
	for _, row := range []struct {
		limits limits
		want   *pb.LinuxResources
	}{
		{limits{groups: &buildGroups{}, each: controlled{true, true}}, &pb.LinuxResources{CpuPeriod: 100, CpuQuota: 400, Memory: 5, MemorySwap: 6, CpusetCpus: "0"}},
		{limits{each: controlled{true, true}}, asked},
		{limits{each: controlled{cpu: true}}, &pb.LinuxResources{CpuShares: 7, CpuPeriod: 100, CpuQuota: 400, CpusetCpus: "0"}},
		{limits{each: controlled{memory: true}}, &pb.LinuxResources{Memory: 5, MemorySwap: 6, CpusetCpus: "0"}},
		{limits{}, &pb.LinuxResources{CpusetCpus: "0"}},
	} {
		if got := row.limits.of(asked); !got.EqualVT(row.want) {
			t.Errorf("with %+v: %v, want %v", row.limits, got, row.want)
		}
	}
	if asked.CpuShares != 7 || (&limits{}).of(nil) != nil {
		t.Error("the limits of the step were changed")
	}
}

// TestGroups: commands of one build are in one group, whose limits are the highest; others are not.
func TestGroups(t *testing.T) {
	t.Parallel()
	g := &buildGroups{
		files: cgroupsIn(t, "cpu/tasks", "memory/tasks", "cpu/p/0/cpu.cfs_period_us", "cpu/p/0/cpu.cfs_quota_us", "memory/p/0/memory.limit_in_bytes",
			"cpu/p/1/cpu.cfs_period_us", "cpu/p/1/cpu.cfs_quota_us", "memory/p/1/memory.limit_in_bytes"),
		base: "p", running: map[uint64]*buildGroup{},
	}
	limits := func(quota, memory int64) *pb.LinuxResources {
		return &pb.LinuxResources{CpuPeriod: 100_000, CpuQuota: quota, Memory: memory}
	}
	one, leaveOne := g.enter(7, limits(400_000, 1<<30))
	again, leaveAgain := g.enter(7, limits(200_000, 2<<30))
	other, leaveOther := g.enter(8, limits(400_000, 1<<30))
	none, leaveNone := g.enter(9, limits(0, 0))
	if one != "p/0" || again != one || other != "p/1" || none != "" {
		t.Errorf("groups %q, %q, %q, %q", one, again, other, none)
	}
	if got, want := g.running[7].limits, (groupLimits{100_000, 400_000, 2 << 30}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
	leaveOne()
	if next, leave := g.enter(7, limits(400_000, 1<<30)); next != one {
		t.Errorf("group %q, want %q: a command of it runs", next, one)
	} else {
		leave()
	}
	leaveAgain()
	leaveOther()
	leaveNone()
	if len(g.running) > 0 || g.used != [maxGroups]bool{} {
		t.Errorf("groups are in use: %v", g.running)
	}
	for build := range uint64(maxGroups) {
		g.used[build] = true
	}
	if full, _ := g.enter(7, limits(400_000, 1<<30)); full != "" {
		t.Errorf("group %q, although all are in use", full)
	}
}

// TestLimitsMax: the higher one of two limits, where 0 is none.
func TestLimitsMax(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ a, b, want groupLimits }{
		{groupLimits{100, 400, 5}, groupLimits{100, 300, 6}, groupLimits{100, 400, 6}},
		{groupLimits{100, 400, 5}, groupLimits{50, 300, 0}, groupLimits{50, 300, 0}},
		{groupLimits{100, 400, 0}, groupLimits{100, 0, 6}, groupLimits{100, 0, 0}},
	} {
		if got := row.a.max(row.b); got != row.want {
			t.Errorf("max(%+v, %+v) = %+v, want %+v", row.a, row.b, got, row.want)
		}
	}
}
