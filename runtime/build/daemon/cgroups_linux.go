package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// defaultPeriod is the period of the scheduler of a limit that names none, in microseconds.
const defaultPeriod = 100_000

// cgroupFiles are the file systems of cgroups.
type cgroupFiles struct {
	root    string
	unified bool // version 2: one file system for all controllers
}

// findCgroups returns those that are mounted at root.
func findCgroups(root string) cgroupFiles {
	_, err := os.Stat(filepath.Join(root, "cgroup.controllers"))
	return cgroupFiles{root, err == nil}
}

// controllers are those whose limits are set.
var controllers = []string{"cpu", "memory"}

// create creates a cgroup, in which limits can be set.
func (c cgroupFiles) create(name string) error {
	if c.unified {
		at := c.root
		for part := range strings.SplitSeq(name, "/") {
			// What is enabled already stays so.
			if err := writeCgroup(filepath.Join(at, "cgroup.subtree_control"), "+cpu +memory"); err != nil {
				return err
			}
			at = filepath.Join(at, part)
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
		}
		return nil
	}
	for _, of := range controllers {
		if _, err := os.Stat(filepath.Join(c.root, of, "tasks")); err != nil {
			return err // it is not mounted, and a directory would limit nothing
		}
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
	if c.unified {
		at := filepath.Join(c.root, name)
		return errors.Join(
			writeCgroup(filepath.Join(at, "cpu.max"), number(l.quota, "max")+" "+period),
			writeCgroup(filepath.Join(at, "memory.max"), number(l.memory, "max")))
	}
	cpu, memory := filepath.Join(c.root, "cpu", name), filepath.Join(c.root, "memory", name)
	return errors.Join(
		writeCgroup(filepath.Join(cpu, "cpu.cfs_period_us"), period),
		writeCgroup(filepath.Join(cpu, "cpu.cfs_quota_us"), number(l.quota, "-1")),
		writeCgroup(filepath.Join(memory, "memory.limit_in_bytes"), number(l.memory, "-1")))
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
