package node

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// mount is a line of /proc/self/mountinfo.
type mount struct {
	point string
	kind  string
	// options are those of the file system: for cgroups, the controllers.
	options []string
}

// parseMounts parses the format of /proc/self/mountinfo.
func parseMounts(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		all = append(all, mount{point: unescape(f[4]), kind: g[0], options: strings.Split(g[2], ",")})
	}
	return all
}

// unescape decodes the octal escapes of the kernel for blanks in a path, such as \040 for a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			var c byte
			if _, err := fmt.Sscanf(s[i+1:i+4], "%03o", &c); err == nil {
				b.WriteByte(c)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Mounts returns the mount points below the cluster's directory, the deepest and latest first.
func Mounts(d home.Dir) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return below(string(d), parseMounts(string(b))), nil
}

func below(dir string, all []mount) []string {
	var points []string
	for _, m := range all {
		if strings.HasPrefix(m.point, dir+"/") {
			points = append(points, m.point)
		}
	}
	slices.Reverse(points) // later mounts may be below earlier ones
	return points
}

// unmountAll unmounts everything below the cluster's directory.
func unmountAll(d home.Dir) error {
	for range 10 { // mounts may be stacked, and an unmount may uncover others
		points, err := Mounts(d)
		if err != nil || len(points) == 0 {
			return err
		}
		for _, p := range points {
			if err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
				// Busy: it is unmounted when its last user ends, and all users were killed.
				_ = unix.Unmount(p, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
			}
		}
	}
	points, err := Mounts(d)
	if len(points) > 0 {
		err = errors.Join(err, fmt.Errorf("cannot unmount %s", strings.Join(points, ", ")))
	}
	return err
}
