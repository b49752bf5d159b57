package chart

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart"

	"github.com/pipelinefile/pipe/plan"
)

// maxDepth is the maximum depth of dependencies between charts.
const maxDepth = 10

// depend adds the dependencies that Chart.yaml declares and that are not
// vendored in the directory charts. They are fetched from the declared repositories, in
// the versions of Chart.lock if it exists; the workspace is not changed.
func (s *Shelf) depend(ctx context.Context, c *chart.Chart, dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("dependencies of charts are more than %d levels deep: is there a cycle at %s?", maxDepth, c.Name())
	}
	locked := map[string]string{}
	if c.Lock != nil {
		for _, d := range c.Lock.Dependencies {
			locked[d.Name+" "+d.Repository] = d.Version
		}
	}
	vendored := map[string]bool{}
	for _, d := range c.Dependencies() {
		vendored[d.Name()] = true
		below := ""
		if dir != "" {
			below = filepath.Join(dir, "charts", d.Name())
		}
		if err := s.depend(ctx, d, below, depth+1); err != nil {
			return err
		}
	}
	for _, d := range c.Metadata.Dependencies {
		if d == nil || vendored[d.Name] {
			continue
		}
		vendored[d.Name] = true // one copy serves all aliases of it
		version := d.Version
		if v := locked[d.Name+" "+d.Repository]; v != "" {
			version = v
		}
		dep, below, err := s.dependency(ctx, d, version, dir)
		if err != nil {
			return fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		if err := s.depend(ctx, dep, below, depth+1); err != nil {
			return err
		}
		c.AddDependency(dep)
	}
	return nil
}

func (s *Shelf) dependency(ctx context.Context, d *chart.Dependency, version, dir string) (*chart.Chart, string, error) {
	switch scheme, rest, _ := strings.Cut(d.Repository, "://"); {
	case scheme == "oci":
		return s.find(ctx, plan.Chart{Ref: strings.TrimSuffix(d.Repository, "/") + "/" + d.Name, Version: version})
	case scheme == "http" || scheme == "https":
		return s.find(ctx, plan.Chart{Ref: d.Name, Repo: d.Repository, Version: version})
	case scheme == "file" && dir != "":
		path := filepath.Join(dir, filepath.FromSlash(rest))
		name, err := filepath.Rel(s.dir, path)
		if err != nil || !filepath.IsLocal(name) {
			return nil, "", fmt.Errorf("%s is outside of the %s", d.Repository, s.what)
		}
		if path, err = s.inWorkspace(filepath.ToSlash(name)); err != nil {
			return nil, "", err
		}
		return s.open(ctx, path)
	case strings.HasPrefix(d.Repository, "@") || scheme == "alias":
		return nil, "", fmt.Errorf("repository %s is a name that only Helm's own configuration knows; write its address into Chart.yaml, or vendor the chart with: helm dependency build", d.Repository)
	case d.Repository == "":
		return nil, "", fmt.Errorf("it has no repository in Chart.yaml and is not in the directory charts")
	}
	return nil, "", fmt.Errorf("charts cannot be fetched from repository %q", d.Repository)
}
