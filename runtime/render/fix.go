package render

import (
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
)

// Fix replaces the templates of a chart by their output, so that Helm renders the
// same result without running any of them. The chart must be in the form that Helm
// renders, without the subcharts that values disable. Restore restores the templates.
func Fix(c *chart.Chart, files map[string]string) (restore func()) {
	was := c.Templates
	c.Templates = nil
	for _, t := range was {
		if text, ok := files[path.Join(c.ChartFullPath(), t.Name)]; ok {
			c.Templates = append(c.Templates, &chart.File{Name: t.Name, Data: []byte(literal.Replace(text))})
		}
	}
	var below []func()
	for _, d := range c.Dependencies() {
		below = append(below, Fix(d, files))
	}
	return func() {
		c.Templates = was
		for _, restore := range below {
			restore()
		}
	}
}

// literal escapes a string so that it is a template that renders to it.
var literal = strings.NewReplacer("{{", `{{"{{"}}`)
