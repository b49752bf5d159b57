package render

import (
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
)

// Fix replaces the templates of a chart by what they gave, so that Helm gets the
// same from it without running any of them. The chart must be as Helm renders it,
// without the subcharts that values turn off. Restore puts the templates back.
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

// literal writes a text as a template that gives it.
var literal = strings.NewReplacer("{{", `{{"{{"}}`)
