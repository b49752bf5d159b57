package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// HasLFS reports whether the program git-lfs, which fetches the content of files in Git LFS,
// is installed.
func HasLFS() bool {
	_, err := exec.LookPath("git-lfs")
	return err == nil
}

// filters returns the settings with which git replaces the pointers of files in Git LFS by
// their content, whether or not the user has run "git lfs install"; or those with which it
// leaves the pointers.
func filters(replace bool) []string {
	if !replace {
		return []string{"filter.lfs.process=", "filter.lfs.smudge=", "filter.lfs.clean=", "filter.lfs.required=false"}
	}
	return []string{
		"filter.lfs.process=git-lfs filter-process", "filter.lfs.smudge=git-lfs smudge -- %f",
		"filter.lfs.clean=git-lfs clean -- %f", "filter.lfs.required=true",
	}
}

// A pointer has this prefix, and is shorter than maxPointer bytes.
const (
	pointerPrefix = "version https://git-lfs.github.com/spec/"
	maxPointer    = 1024
)

// findPointers returns the paths of the files of the commit in the directory of o that are
// pointers of Git LFS.
func findPointers(ctx context.Context, o Options) ([]string, error) {
	out, err := Run(ctx, o, "ls-files", "-z", "--", ":(attr:filter=lfs)")
	if err != nil {
		return nil, err
	}
	var found []string
	for name := range strings.SplitSeq(string(out), "\x00") {
		if name == "" {
			continue
		}
		switch is, err := isPointer(filepath.Join(o.Dir, filepath.FromSlash(name))); {
		case err != nil:
			return nil, err
		case is:
			found = append(found, name)
		}
	}
	return found, nil
}

func isPointer(file string) (bool, error) {
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() >= maxPointer {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // git has not checked it out
		}
		return false, err
	}
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	start := make([]byte, len(pointerPrefix))
	if _, err := io.ReadFull(f, start); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(start, []byte(pointerPrefix)), nil
}
