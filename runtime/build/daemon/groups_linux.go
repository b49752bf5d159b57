package daemon

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/userns"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// togetherLabel is the label of a worker that limits the commands of a build together. The package
// build looks for it: one of them cannot import the other.
const togetherLabel = "pipelinefile.github.io/limits-together"

// maxGroups is the number of builds whose commands run in groups. The names of the groups are always
// the same, so that a killed process leaves a bounded number of them.
const maxGroups = 64

// A limitedExecutor runs the commands of a build in one cgroup, which has the limits of the build.
// Each command has them, too.
type limitedExecutor struct {
	executor.Executor
	limits *limits
}

// Run implements [executor.Executor].
func (e *limitedExecutor) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	asked := process.Meta.LinuxResources
	build := asked.GetCpuShares()
	process.Meta.LinuxResources = e.limits.of(asked)
	if build > 0 && e.limits.groups != nil {
		parent, leave := e.limits.groups.enter(build, process.Meta.LinuxResources)
		defer leave()
		if process.Meta.CgroupParent == "" {
			process.Meta.CgroupParent = parent
		}
	}
	return e.Executor.Run(ctx, id, root, mounts, process, started)
}

// limits are those that commands can have on this system.
type limits struct {
	groups *buildGroups // nil: each command has its own
	each   controlled   // runc fails for others
	why    error        // some are missing, or groups
}

// of returns the limits of a command. What cannot be limited is not: BuildKit would fail.
func (l *limits) of(asked *pb.LinuxResources) *pb.LinuxResources {
	if asked == nil {
		return nil
	}
	own := asked.CloneVT()
	if l.groups != nil || !l.each.cpu {
		own.CpuShares = 0 // the number is the name of a build, and not a weight
	}
	if !l.each.cpu {
		own.CpuPeriod, own.CpuQuota = 0, 0
	}
	if !l.each.memory {
		own.Memory, own.MemorySwap = 0, 0
	}
	return own
}

// missing says which limits commands do not have, and why; "" if they have all.
func (l *limits) missing() string {
	text := "the CPU time and the memory of builds are not limited"
	switch {
	case l.each.cpu && l.each.memory:
		return ""
	case l.each.cpu:
		text = "the memory of builds is not limited"
	case l.each.memory:
		text = "the CPU time of builds is not limited"
	}
	switch {
	case errors.Is(l.why, unix.EBUSY), errors.Is(l.why, unix.EOPNOTSUPP):
		return text + ": the topmost cgroup of this container contains processes, so that no limits can be set below it " +
			"(move them to a cgroup in it before you start pipe, or limit the container)"
	case errors.Is(l.why, unix.EINVAL):
		return text + ": Linux has no cgroup controller of the CPU while a realtime process is in a cgroup other than the topmost one"
	case l.why != nil:
		return text + ": " + l.why.Error()
	}
	return text + ": the system has no cgroup controller for it"
}

// buildGroups are the cgroups of the builds whose commands run now.
type buildGroups struct {
	files cgroupFiles
	base  string // the cgroup in which all of them are

	mu      sync.Mutex
	running map[uint64]*buildGroup // by the number of the build; guarded by mu
	used    [maxGroups]bool        // guarded by mu
}

// A buildGroup is the cgroup of a build. Its fields are guarded by the mutex of buildGroups.
type buildGroup struct {
	slot     int
	commands int // that run now
	limits   groupLimits
}

// groupLimits are the limits of a cgroup.
type groupLimits struct {
	period uint64 // of the scheduler, in microseconds
	quota  int64  // of CPU time in a period, in microseconds; 0: no limit
	memory int64  // in bytes; 0: no limit
}

// cgroupMount is where the system mounts cgroups, and where BuildKit looks for them.
const cgroupMount = "/sys/fs/cgroup"

// newLimits returns the limits that the commands of the BuildKit that has locked root can have. What is
// possible is found out here, and not in a build.
func newLimits(root string) *limits {
	if userns.RunningInUserNS() {
		// BuildKit sets none there.
		return &limits{each: controlled{cpu: true, memory: true}, why: errors.New("the cgroups of a user namespace cannot be changed")}
	}
	mounts, _ := os.ReadFile("/proc/mounts") // without it, runc fails
	return limitsOf(findCgroups(cgroupMount), string(mounts), groupsOf(root))
}

// limitsOf returns the limits that can be set in files. base is the cgroup of the groups.
func limitsOf(files cgroupFiles, mounts, base string) *limits {
	g := &buildGroups{files: files, base: base, running: map[uint64]*buildGroup{}}
	l := &limits{groups: g}
	l.why = g.files.try(g.name(0))
	err := l.why
	if errors.Is(err, unix.EINVAL) && g.files.controllers.memory {
		// Where realtime processes have groups, the kernel enables the controller of the CPU only if all of them
		// are in the topmost cgroup.
		g.files.controllers.cpu = false
		err = g.files.try(g.name(0))
	}
	if err != nil {
		l.groups, l.why = nil, err
	}
	if l.groups != nil {
		l.each = g.files.controllers
	}
	if !files.unified {
		l.each = mountedControllers(mounts)
	}
	return l
}

// groupsOf returns the cgroup of the groups of the BuildKit that has locked root.
func groupsOf(root string) string {
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(root)) // never fails
	return fmt.Sprintf("pipe-build-%x", hash.Sum64())
}

// sweepGroups removes the groups that the BuildKit of root, which has ended, has left.
func sweepGroups(root string) {
	files := findCgroups(cgroupMount)
	for slot := range maxGroups {
		files.remove(filepath.Join(groupsOf(root), strconv.Itoa(slot)))
	}
}

func (g *buildGroups) name(slot int) string { return filepath.Join(g.base, strconv.Itoa(slot)) }

// enter returns the cgroup in which a command of a build runs; "" is that of BuildKit, which has no
// limits. leave must be called when the command has ended.
func (g *buildGroups) enter(build uint64, of *pb.LinuxResources) (parent string, leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limits := groupLimits{of.GetCpuPeriod(), of.GetCpuQuota(), of.GetMemory()}
	group := g.running[build]
	if group == nil {
		slot := 0
		for slot < maxGroups && g.used[slot] {
			slot++
		}
		if slot == maxGroups || limits.quota == 0 && limits.memory == 0 {
			return "", func() {}
		}
		group = &buildGroup{slot: slot, limits: limits}
	} else {
		// A step that a build shares with one of higher limits has these.
		limits = group.limits.max(limits)
	}
	name := g.name(group.slot)
	if err := g.files.limit(name, limits); err != nil {
		logrus.Warnf("the limits of a build hold for each of its commands only: %v", err)
		if group.commands == 0 {
			return "", func() {}
		}
	}
	group.limits = limits
	group.commands++
	g.running[build], g.used[group.slot] = group, true
	return name, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if group.commands--; group.commands == 0 {
			delete(g.running, build)
			g.used[group.slot] = false
			g.files.remove(name) // if this is too early, the next build in it has its limits
		}
	}
}

// max returns the higher ones of two limits.
func (l groupLimits) max(o groupLimits) groupLimits {
	if l.memory != 0 {
		l.memory = max(l.memory, o.memory)
		if o.memory == 0 {
			l.memory = 0
		}
	}
	if l.quota != 0 && (o.quota == 0 || float64(o.quota)/float64(max(o.period, 1)) > float64(l.quota)/float64(max(l.period, 1))) {
		l.quota, l.period = o.quota, o.period
	}
	return l
}
