package chart

import (
	"context"

	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/pipelinefile/pipe/runtime/render"
)

// A Cluster describes the cluster for which templates are rendered.
type Cluster struct {
	Capabilities *chartutil.Capabilities
	Lookup       func(apiVersion, kind, namespace, name string) (map[string]any, error)
}

// ours renders generated charts, whose templates need only bounded resources.
var ours = render.New(render.Options{})

// by returns the renderer for the chart: others, unless the chart is generated.
func (c *Chart) by(others *render.Renderer) *render.Renderer {
	if c.made {
		return ours
	}
	return others
}

// Check checks that the values of a use are valid according to the chart's schema and
// that its templates can be rendered. It makes no requests: the templates of a
// chart that uses lookup are not rendered.
func (c *Chart) Check(ctx context.Context, others *render.Renderer, namespace string, u Use) error {
	whole, err := c.chart()
	if err != nil {
		return err
	}
	if err := checkObjects(c.objects, namespace); err != nil {
		return err
	}
	values := c.Whole(u)
	if err := c.Validate(values); err != nil {
		return err
	}
	_, err = c.by(others).Render(ctx, render.Job{
		Key: string(c.Digest), Chart: whole, Values: values, Valid: c.made, Check: true,
		Release: chartutil.ReleaseOptions{Name: u.Service, Namespace: namespace, Revision: 1, IsInstall: true},
	})
	return err
}

// Render returns the output of the templates of the chart in a use, by file name; see
// [render.Renderer.Render].
func (c *Chart) Render(ctx context.Context, others *render.Renderer, release chartutil.ReleaseOptions, u Use, cluster Cluster) (map[string]string, error) {
	whole, err := c.chart()
	if err != nil {
		return nil, err
	}
	if err := checkObjects(c.objects, release.Namespace); err != nil {
		return nil, err
	}
	values := c.Whole(u)
	if err := c.Validate(values); err != nil {
		return nil, err
	}
	return c.by(others).Render(ctx, render.Job{
		Key: string(c.Digest), Chart: whole, Values: values, Valid: c.made, Release: release, Capabilities: cluster.Capabilities, Lookup: cluster.Lookup,
	})
}
