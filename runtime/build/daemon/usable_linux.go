package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/userns"
	"golang.org/x/sys/unix"
)

// sbin are directories of required programs that may not be in the PATH of an ordinary user.
var sbin = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// find returns the path of a program.
func find(program string) (string, bool) {
	if path, err := exec.LookPath(program); err == nil {
		return path, true
	}
	for _, dir := range sbin {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, true
		}
	}
	return "", false
}

func usable() error {
	rootless := os.Geteuid() != 0
	if err := programs(rootless, find); err != nil {
		return err
	}
	switch {
	case rootless:
		return subordinate()
	case userns.RunningInUserNS(): // BuildKit creates none there
		return nil
	}
	return findCgroups(cgroupMount).writable()
}

// writable returns an error if no cgroups can be created, as in a container without privileges: each command
// of a build would fail.
func (c cgroupFiles) writable() error {
	roots := []string{c.root}
	if !c.unified {
		roots = nil // that of version 1 is read-only on many systems: it contains only the file systems of controllers
		for _, of := range c.controllers.names() {
			roots = append(roots, filepath.Join(c.root, of))
		}
	}
	for _, root := range roots {
		if err := unix.Access(root, unix.W_OK); errors.Is(err, unix.EROFS) {
			return fmt.Errorf("building images needs cgroups, and %s is mounted read-only, as in a container without privileges: "+
				"start the container with privileges (docker run --privileged), or use a BuildKit that you have", root)
		}
	}
	return nil
}

// programs returns an error if required programs are missing.
func programs(rootless bool, find func(program string) (path string, ok bool)) error {
	type need struct{ program, pkg string }
	needs := []need{{"runc", "runc"}, {"git", "git"}}
	as := ""
	if rootless {
		as = " as an ordinary user"
		needs = append(needs, need{"rootlesskit", "rootlesskit"}, need{"newuidmap", "uidmap"}, need{"newgidmap", "uidmap"})
	}
	var missing, packages []string
	for _, n := range needs {
		if _, ok := find(n.program); !ok {
			missing = append(missing, n.program)
			packages = append(packages, n.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("building images%s needs %s, which is not there: install it (Debian, Ubuntu: sudo apt-get install %s), "+
		"or use a BuildKit that you have", as, strings.Join(missing, ", "), strings.Join(slices.Compact(packages), " "))
}

// subordinate returns an error if the user may not create user namespaces with more than one
// user.
func subordinate() error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if !hasRange(file, me) {
			return fmt.Errorf("building images as an ordinary user needs a range of user numbers for %s in %s: "+
				"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s, "+
				"or use a BuildKit that you have", me.Username, file, me.Username)
		}
	}
	return nil
}

func hasRange(path string, u *user.User) bool {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return true // newuidmap will report it
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if owner, _, ok := strings.Cut(lines.Text(), ":"); ok && (owner == u.Username || owner == u.Uid) {
			return true
		}
	}
	return false
}
