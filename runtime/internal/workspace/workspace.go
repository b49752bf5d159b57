// Package workspace keeps drivers within the workspace of a pipeline, which no
// symbolic link may lead out of (SPEC L2). Evaluation refuses such links; a link may
// have been made since.
package workspace

import (
	"errors"
	"path/filepath"
)

// ErrOutside says that a path leads to what it must not.
var ErrOutside = errors.New("leads out of the workspace through a symbolic link")

// Resolve returns the file or directory that a path leads to, with all symbolic links
// resolved, or ErrOutside if that is not below root. The empty root is the working
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
