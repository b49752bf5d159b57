package chart

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/plan"
)

// Write writes the generated chart of a service to the directory dir,
// for the team to take over: with chart=, it deploys the same objects as before. It is an
// error if the directory is not empty.
//
// A secret without a key gets the key under which pipe stores values that
// are provided to it, because the key in the cluster is not known.
func Write(dir string, s plan.Service) error {
	list, err := newGenerator().generate(s, SecretKey)
	if err != nil {
		return fmt.Errorf("write a chart for %s: %w", s.Name, err)
	}
	return write(dir, s.Name, list)
}

// WriteManifests writes the chart of a service that consists of manifests to the directory
// dir, as [Write] does.
func (s *Shelf) WriteManifests(ctx context.Context, dir, namespace string, service plan.Service) error {
	list, objects, err := s.manifests(ctx, service)
	if err == nil {
		err = checkObjects(objects, namespace)
	}
	if err != nil {
		return fmt.Errorf("write a chart for %s: %w", service.Name, err)
	}
	return write(dir, service.Name, list)
}

// WriteCopy writes a copy of the chart that a service names, with its dependencies, to the
// directory dir, which must not exist.
func (s *Shelf) WriteCopy(ctx context.Context, dir string, service plan.Service) error {
	c, err := s.Chart(ctx, service, nil)
	if err != nil {
		return err
	}
	copied, err := c.Copy()
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".chart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := chartutil.SaveDir(copied, temp); err != nil {
		return fmt.Errorf("write the chart of %s: %w", service.Name, err)
	}
	return os.Rename(filepath.Join(temp, copied.Name()), dir)
}

// write writes the files of the chart of a service.
func write(dir, name string, list []*chart.File) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write a chart for %s: %w", name, err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("write a chart for %s: directory %s is not empty", name, dir)
	}
	for _, f := range list {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return fmt.Errorf("write a chart for %s: %w", name, err)
		}
		if err := os.WriteFile(path, f.Data, 0o666); err != nil {
			return fmt.Errorf("write a chart for %s: %w", name, err)
		}
	}
	return nil
}
