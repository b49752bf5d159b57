package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// defaultPeriod is the period of the scheduler of a limit that names none, in microseconds.
const defaultPeriod = 100_000

// cgroupFiles are the file systems of cgroups.
type cgroupFiles struct {
	root        string
	unified     bool       // version 2: one file system for all controllers
	controllers controlled // those that are there
}

// controlled says for which resources there are limits.
type controlled struct{ cpu, memory bool }

// names returns the names of the controllers.
func (c controlled) names() []string {
	var names []string
	if c.cpu {
		names = append(names, "cpu")
	}
	if c.memory {
		names = append(names, "memory")
	}
	return names
}

// findCgroups returns those that are mounted at root.
func findCgroups(root string) cgroupFiles {
	names, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err == nil {
		all := strings.Fields(string(names))
		return cgroupFiles{root, true, controlled{cpu: slices.Contains(all, "cpu"), memory: slices.Contains(all, "memory")}}
	}
	mounted := func(controller string) bool {
		_, err := os.Stat(filepath.Join(root, controller, "tasks")) // otherwise, a directory would limit nothing
		return err == nil
	}
	return cgroupFiles{root, false, controlled{cpu: mounted("cpu"), memory: mounted("memory")}}
}

// mountedControllers returns the controllers of version 1 in the text of /proc/mounts, wherever they are
// mounted.
func mountedControllers(mounts string) controlled {
	var found controlled
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[2] == "cgroup" {
			options := strings.Split(fields[3], ",")
			found.cpu = found.cpu || slices.Contains(options, "cpu")
			found.memory = found.memory || slices.Contains(options, "memory")
		}
	}
	return found
}

// try creates a cgroup, removes it again, and returns why limits cannot be set in it.
func (c cgroupFiles) try(name string) error {
	defer c.remove(name)
	if err := c.create(name); err != nil || !c.unified {
		return err
	}
	// A cgroup below one that has processes of its own is not a domain, and has limits of the CPU at most, which
	// runc does not set there.
	kind, err := os.ReadFile(filepath.Join(c.root, name, "cgroup.type"))
	if is := strings.TrimSpace(string(kind)); err == nil && is != "domain" {
		return fmt.Errorf("a cgroup in %s is %q, and not a domain", c.root, is)
	}
	return nil // also if a kernel before 4.14 does not say what it is
}

// create creates a cgroup, in which limits can be set.
func (c cgroupFiles) create(name string) error {
	if c.controllers == (controlled{}) {
		return fmt.Errorf("there is no cgroup controller of the CPU or of memory in %s", c.root)
	}
	if c.unified {
		at := c.root
		enable := "+" + strings.Join(c.controllers.names(), " +")
		for part := range strings.SplitSeq(name, "/") {
			// What is enabled already stays so. It is one write, because one of them alone would change the kind
			// of a cgroup that has processes.
			if err := writeCgroup(filepath.Join(at, "cgroup.subtree_control"), enable); err != nil {
				return err
			}
			at = filepath.Join(at, part)
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
		}
		return nil
	}
	for _, of := range c.controllers.names() {
		if err := os.MkdirAll(filepath.Join(c.root, of, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// limit creates a cgroup, if there is none yet, and sets its limits.
func (c cgroupFiles) limit(name string, l groupLimits) error {
	if err := c.create(name); err != nil {
		return err
	}
	if l.period == 0 {
		l.period = defaultPeriod
	}
	number := func(n int64, none string) string {
		if n == 0 {
			return none
		}
		return strconv.FormatInt(n, 10)
	}
	period := strconv.FormatUint(l.period, 10)
	var errs []error
	write := func(controller, file, text string) {
		at := filepath.Join(c.root, name, file)
		if !c.unified {
			at = filepath.Join(c.root, controller, name, file)
		}
		errs = append(errs, writeCgroup(at, text))
	}
	if c.controllers.cpu {
		if c.unified {
			write("cpu", "cpu.max", number(l.quota, "max")+" "+period)
		} else {
			write("cpu", "cpu.cfs_period_us", period)
			write("cpu", "cpu.cfs_quota_us", number(l.quota, "-1"))
		}
	}
	if c.controllers.memory {
		if c.unified {
			write("memory", "memory.max", number(l.memory, "max"))
		} else {
			write("memory", "memory.limit_in_bytes", number(l.memory, "-1"))
		}
	}
	return errors.Join(errs...)
}

// remove removes a cgroup whose commands have ended. runc has made one in it, in each file system.
func (c cgroupFiles) remove(name string) {
	roots := []string{c.root}
	if !c.unified {
		roots, _ = filepath.Glob(filepath.Join(c.root, "*"))
	}
	for _, root := range roots {
		at := filepath.Join(root, name)
		for _, dir := range []string{filepath.Join(at, "buildkit"), at, filepath.Dir(at)} {
			_ = os.Remove(dir) // fails if there is none, or if it is in use
		}
	}
}

// writeCgroup writes to a file of a cgroup, which must exist.
func writeCgroup(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
