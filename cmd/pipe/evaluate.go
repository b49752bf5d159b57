package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// fileName is the default name of a Pipelinefile.
const fileName = "Pipelinefile"

// abs returns the absolute form of a path that is relative to the directory of
// the command.
func (a *app) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(a.dir, path)
}

// find returns the Pipelinefile that args names, or else the nearest one, in
// this directory or a parent.
func (a *app) find(cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 {
		file := a.abs(args[0])
		info, err := os.Stat(file)
		if err == nil && info.IsDir() {
			file = filepath.Join(file, fileName)
			_, err = os.Stat(file)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", usagef(cmd, "%s not found", file)
		case err != nil:
			return "", usagef(cmd, "%w", err)
		}
		return file, nil
	}
	if file, ok := a.nearest(); ok {
		return file, nil
	}
	return "", usagef(cmd, "no %s in %s or a parent directory; name one: %s FILE", fileName, a.dir, cmd.CommandPath())
}

// nearest returns the Pipelinefile in this directory or the nearest parent that
// has one.
func (a *app) nearest() (file string, ok bool) {
	for dir := a.dir; ; dir = filepath.Dir(dir) {
		file := filepath.Join(dir, fileName)
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file, true
		}
		if filepath.Dir(dir) == dir {
			return "", false
		}
	}
}
