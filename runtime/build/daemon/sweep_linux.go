package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// flock locks file for this process, or fails immediately.
func flock(file *os.File) error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// container matches the name that BuildKit gives to the container of one RUN, and to the
// directory of its bundle: see its package identity.
var container = regexp.MustCompile(`^[a-z0-9]{25}$`)

// executors returns the directories of bundles below root, one per snapshotter.
func executors(root string) []string {
	dirs, _ := filepath.Glob(filepath.Join(root, "runc-*", "executor"))
	return dirs
}

// bundles returns the bundles of containers that are running, or that were left behind.
func bundles(root string) []string {
	var found []string
	for _, dir := range executors(root) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.IsDir() && container.MatchString(e.Name()) {
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
	}
	return found
}

// sweep removes what a killed BuildKit has left: the containers of RUN, the mounts of their
// file systems and of build contexts, their cgroups, and temporary files. BuildKit itself would never remove
// them. The root must be locked.
func sweep(ctx context.Context, root string) error {
	var errs []error
	left := bundles(root)
	for _, bundle := range left {
		// With --force, an unknown container is not an error.
		out, err := exec.CommandContext(ctx, "runc", "delete", "--force", filepath.Base(bundle)).CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("runc delete %s: %w: %s", filepath.Base(bundle), err, out))
		}
	}
	sweepGroups(root)
	if err := unmountBelow(root); err != nil {
		// Removing files now would remove files of the cache, through the mount.
		return errors.Join(append(errs, err)...)
	}
	for _, dir := range append(left, tempFiles(root)...) {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// temp is the directory of the process for temporary files. BuildKit mounts build contexts
// there, and files below root can be found after a crash.
func temp(root string) string { return filepath.Join(root, "tmp") }

func tempFiles(root string) []string {
	files, _ := filepath.Glob(filepath.Join(temp(root), "*"))
	return files
}

// unmountBelow unmounts all mounts below dir, the innermost first.
func unmountBelow(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		if err := unix.Unmount(m, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m, err))
		}
	}
	return errors.Join(errs...)
}

// mountsBelow returns the mount points strictly below dir, in the order in which they were
// mounted.
func mountsBelow(dir string) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var found []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20) // overlay mounts list all their layers
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); strings.HasPrefix(point, dir+"/") {
			found = append(found, point)
		}
	}
	return found, lines.Err()
}

// unescape reverses the kernel's escapes of blanks in a mount point, such as \040.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// settle waits up to two seconds for containers that are being terminated.
func settle(root string) {
	for range 100 {
		if len(bundles(root)) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
