// Package workspace confines drivers to the workspace of a pipeline: symbolic links
// must not lead out of it (SPEC L2). Evaluation refuses such links, but a link may
// have been created since.
package workspace

import (
	"errors"
	"path/filepath"
)

// ErrOutside means that a path leads out of the workspace.
var ErrOutside = errors.New("leads out of the workspace through a symbolic link")

// Resolve returns the file or directory that a path leads to, with all symbolic links
// resolved, or ErrOutside if that is not below root. An empty root means the working
// directory.
func Resolve(root, path string) (string, error) {
	if root == "" {
		root = "."
	}
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	found, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(root, found); err != nil || !filepath.IsLocal(rel) {
		return "", ErrOutside
	}
	return found, nil
}
