// Package paths resolves paths in the workspace of a Pipelinefile.
package paths

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/internal/explain"
)

// Resolve returns the path p, written in a file of the directory dir, as a path relative
// to the root: clean, with slashes, and "." for the root itself. The error says why the
// path is rejected (L2).
func Resolve(dir, p string) (string, *explain.Error) {
	switch {
	case p == "":
		return "", explain.Errorf("the path is empty").WithHint(`the directory of this file is "."`)
	case len(p) > maxPath:
		return "", explain.Errorf("%q: a path has at most %d characters", explain.Clip(p), maxPath)
	case strings.HasPrefix(p, "/"), len(p) > 1 && p[1] == ':':
		return "", explain.Errorf("%q is an absolute path", explain.Clip(p)).WithHint("paths are relative to the file that they are written in")
	case strings.Contains(p, "://"):
		return "", explain.Errorf("%q is a URL, not a path", explain.Clip(p)).WithHint("an evaluation has no network: copy the file into the workspace, and name its path")
	case strings.HasPrefix(p, "~"):
		return "", explain.Errorf("%q: a home directory is outside of the workspace", explain.Clip(p)).WithHint("paths are relative to the file that they are written in")
	case strings.ContainsRune(p, '\\'):
		return "", explain.Errorf("%q: a path has no backslashes", explain.Clip(p)).WithHint("write %q on every system", strings.ReplaceAll(p, `\`, "/"))
	case strings.ContainsRune(p, 0):
		return "", explain.Errorf("%q: a path has no zero bytes", explain.Clip(p))
	}
	joined := path.Join(dir, p)
	if Leaves(joined) {
		return "", explain.Errorf("%q leaves the workspace", explain.Clip(p)).WithHint("the workspace is the directory of the Pipelinefile, or the git repository around it")
	}
	return joined, nil
}

// maxPath is the maximum length of a path in bytes, which is that of Linux.
const maxPath = 4096

// Leaves reports whether a clean path leads out of the directory that it is relative to.
func Leaves(p string) bool { return p == ".." || strings.HasPrefix(p, "../") }

// Below returns the path of file relative to root, with slashes, or "" if file is not below
// root. Both are paths of the system, absolute or relative to the same directory.
func Below(root, file string) string {
	rel, err := filepath.Rel(root, file)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}
