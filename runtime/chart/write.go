package chart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/plan"
)

// Write writes the generated chart of a service to the directory dir,
// for the team to take over: with chart=, it deploys the same objects as before. It is an
// error if the directory is not empty.
//
// A secret without a key gets the key under which pipe stores values that
// are provided to it, because the key in the cluster is not known.
func Write(dir string, s plan.Service) error {
	list, err := generate(s, SecretKey)
	if err != nil {
		return fmt.Errorf("write a chart for %s: %w", s.Name, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write a chart for %s: %w", s.Name, err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("write a chart for %s: directory %s is not empty", s.Name, dir)
	}
	for _, f := range list {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return fmt.Errorf("write a chart for %s: %w", s.Name, err)
		}
		if err := os.WriteFile(path, f.Data, 0o666); err != nil {
			return fmt.Errorf("write a chart for %s: %w", s.Name, err)
		}
	}
	return nil
}
