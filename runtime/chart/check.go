package chart

import (
	"context"

	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/runtime/render"
)

// A Cluster is what templates are told of the cluster that they are rendered for.
type Cluster struct {
	Capabilities *chartutil.Capabilities
	Lookup       func(apiVersion, kind, namespace, name string) (map[string]any, error)
}

// ours renders the charts that are made here, whose templates take no more than
// the values do.
var ours = render.New(render.Options{})

// by returns what renders the chart, which is others if others wrote it.
func (c *Chart) by(others *render.Renderer) *render.Renderer {
	if c.made {
		return ours
	}
	return others
}

// Check reports whether the values of a use are allowed by the chart's schema and
// whether its templates can be rendered. It asks no server: the templates of a
// chart that asks one are not rendered here.
func (c *Chart) Check(ctx context.Context, others *render.Renderer, namespace string, u Use) error {
	whole, err := c.chart()
	if err != nil {
		return err
	}
	_, err = c.by(others).Render(ctx, render.Job{
		Key: string(c.Digest), Chart: whole, Values: c.Values(u), Check: true,
		Release: chartutil.ReleaseOptions{Name: u.Service, Namespace: namespace, Revision: 1, IsInstall: true},
	})
	return err
}

// Render returns what the templates of the chart give in a use, by the names of
// their files; see [render.Renderer.Render].
func (c *Chart) Render(ctx context.Context, others *render.Renderer, release chartutil.ReleaseOptions, u Use, cluster Cluster) (map[string]string, error) {
	whole, err := c.chart()
	if err != nil {
		return nil, err
	}
	return c.by(others).Render(ctx, render.Job{
		Key: string(c.Digest), Chart: whole, Values: c.Values(u), Release: release, Capabilities: cluster.Capabilities, Lookup: cluster.Lookup,
	})
}
