package chart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/plan"
)

// Write writes the chart that is generated for a service into the folder dir,
// for the team to own: with chart=, it deploys what was deployed before. A
// folder that has something in it is an error.
//
// A secret without a key gets the one under which pipe keeps values that
// were given to it, as it is not known which one the cluster has.
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
		return fmt.Errorf("write a chart for %s: folder %s is not empty", s.Name, dir)
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
