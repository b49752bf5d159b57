package chart

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/workspace"
)

// load loads the chart that ref refers to, with its dependencies and values files.
func (s *Shelf) load(ctx context.Context, ref plan.Chart) (*Chart, error) {
	in := s
	if ref.Git != "" {
		var err error
		if in, err = s.repository(ctx, ref); err != nil {
			return nil, err
		}
	}
	c, dir, err := in.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := in.depend(ctx, c, dir, 0); err != nil {
		return nil, err
	}
	if t := c.Metadata.Type; t != "" && t != "application" {
		return nil, fmt.Errorf("it is a chart of type %s, which installs nothing", t)
	}
	var files []valuesFile
	for _, name := range ref.ValuesFiles {
		path, err := s.inWorkspace(name)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("values file %s: %w", name, withoutPath(err))
		}
		files = append(files, valuesFile{name, data})
	}
	loaded, err := newChart(c, files)
	if err == nil {
		loaded.beside = ref.Git == "" && beside(c)
	}
	return loaded, err
}

// beside reports whether a chart, or one of its dependencies, has a dependency in a
// directory.
func beside(c *chart.Chart) bool {
	return slices.ContainsFunc(c.Metadata.Dependencies, func(d *chart.Dependency) bool {
		return d != nil && strings.HasPrefix(d.Repository, "file://")
	}) || slices.ContainsFunc(c.Dependencies(), beside)
}

// find returns the chart without its missing dependencies, and its directory in the
// workspace, if it is a directory.
func (s *Shelf) find(ctx context.Context, ref plan.Chart) (c *chart.Chart, dir string, err error) {
	switch {
	case ref.Repo != "":
		c, err = s.fromRepository(ctx, ref.Repo, ref.Ref, ref.Version)
		return c, "", err
	case strings.HasPrefix(ref.Ref, "oci://"):
		c, err = s.fromRegistry(ctx, ref.Ref, ref.Version)
		return c, "", err
	}
	path, err := s.inWorkspace(ref.Ref)
	if err != nil {
		return nil, "", err
	}
	return s.open(ctx, path)
}

// open loads a directory or a .tgz in the workspace.
func (s *Shelf) open(ctx context.Context, path string) (c *chart.Chart, dir string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", withoutPath(err)
	}
	if info.IsDir() {
		if err := s.room().dir(ctx, path); err != nil {
			return nil, "", err
		}
		c, err = loader.LoadDir(path)
		return c, path, err
	}
	if err := s.room().file(ctx, path); err != nil {
		return nil, "", err
	}
	c, err = loader.LoadFile(path)
	return c, "", err
}

// inWorkspace returns the path of a file in the workspace, or in the checkout of a repository.
func (s *Shelf) inWorkspace(name string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("%s is outside of the %s", name, s.what)
	}
	path := filepath.Join(s.dir, filepath.FromSlash(name))
	if _, err := workspace.Resolve(s.dir, path); errors.Is(err, workspace.ErrOutside) {
		return "", outside(name, s.what)
	}
	return path, nil // whether it exists, its reader says
}

// withoutPath returns the cause of an error about a path; the caller adds the path in
// the form that the user knows.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
