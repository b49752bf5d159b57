package watch

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Mount is a mounted file system.
type Mount struct {
	Path string // absolute
	Type string // "ext4", "9p"
}

// silent are the types of file systems that accept a watch but do not report
// changes made by other machines. In a pattern, * matches any suffix.
var silent = []string{
	"9p", "drvfs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "virtiofs", "vboxsf", "fuse.*", "fuse", "prl_fs", "vmhgfs", "afs", "ceph", "lustre", "gfs2", "ocfs2",
}

// Silent reports whether the file system accepts a watch but does not report
// changes that are made elsewhere.
func (m Mount) Silent() bool {
	return slices.ContainsFunc(silent, func(s string) bool {
		prefix, any := strings.CutSuffix(s, "*")
		return m.Type == s || any && strings.HasPrefix(m.Type, prefix)
	})
}

// mounts returns the mounts of this process; none if the system has no mount table.
func mounts() []Mount {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(data)
}

// parseMounts reads /proc/self/mountinfo. See proc_pid_mountinfo(5): the path is
// the fifth field, the type the first after " - ".
func parseMounts(table []byte) []Mount {
	var out []Mount
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, kinds := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kinds) == 0 {
			continue
		}
		out = append(out, Mount{Path: unescape(fields[4]), Type: kinds[0]})
	}
	return out
}

// unescape replaces octal escapes for spaces and backslashes, such as \040.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			out.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

func octal(c byte) bool { return '0' <= c && c <= '7' }

// mountOf returns the mount that the absolute path is in. Of mounts on one path,
// the last covers the others.
func mountOf(table []Mount, path string) (found Mount) {
	for _, m := range table {
		if len(m.Path) >= len(found.Path) && within(m.Path, path) {
			found = m
		}
	}
	return found
}

// around returns the mounts that are relevant for a workspace: the one that contains it,
// and those in it.
func around(table []Mount, root string) []Mount {
	out := []Mount{mountOf(table, root)}
	for _, m := range table {
		if m.Path != root && within(root, m.Path) {
			out = append(out, m)
		}
	}
	return out
}

// within reports whether path is dir or below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
