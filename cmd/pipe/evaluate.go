package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// fileName is the name of a Pipelinefile that is looked for.
const fileName = "Pipelinefile"

// abs returns path as it is seen from the folder of the command.
func (a *app) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(a.dir, path)
}

// find returns the Pipelinefile that args names, or else the nearest one, here
// or in a folder above.
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
			return "", usagef(cmd, "there is no %s", file)
		case err != nil:
			return "", usagef(cmd, "%w", err)
		}
		return file, nil
	}
	if file, ok := a.nearest(); ok {
		return file, nil
	}
	return "", usagef(cmd, "there is no %s in %s or in a folder above it; name one: %s FILE", fileName, a.dir, cmd.CommandPath())
}

// nearest returns the Pipelinefile here or in the nearest folder above that has one.
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
