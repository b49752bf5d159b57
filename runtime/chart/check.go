package chart

import (
	"bytes"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	helmengine "helm.sh/helm/v3/pkg/engine"
)

// Check reports what is wrong with the chart or the values of a use: values that
// the chart's schema does not allow, templates that do not render. It asks no
// server: a chart that asks one while it renders is not rendered here.
func (c *Chart) Check(namespace string, u Use) error {
	copied, err := c.Copy()
	if err != nil {
		return err
	}
	values := c.Values(u)
	if err := chartutil.ProcessDependenciesWithMerge(copied, values); err != nil {
		return err
	}
	release := chartutil.ReleaseOptions{Name: u.Service, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(copied, values, release, nil)
	if err != nil {
		return err
	}
	if asks(copied) {
		return nil
	}
	_, err = helmengine.Render(copied, all)
	return err
}

// asks reports whether what the chart installs may depend on the cluster.
func asks(c *chart.Chart) bool {
	for _, t := range c.Templates {
		if bytes.Contains(t.Data, []byte("Capabilities")) || bytes.Contains(t.Data, []byte("lookup")) {
			return true
		}
	}
	for _, d := range c.Dependencies() {
		if asks(d) {
			return true
		}
	}
	return false
}
