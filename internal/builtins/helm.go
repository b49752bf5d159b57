package builtins

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

type helmArgs struct {
	serviceName
	Chart       *Chart      `arg:"chart,kw" help:"the Helm chart"`
	Values      chartValues `arg:"values,kw" default:"{}" help:"values for the chart, over its own"`
	ValuesFiles []string    `arg:"values_files,kw" default:"[]" help:"YAML files, relative to the file of the call, after those of the chart; later ones win"`
	podImages
	placed
	timeout5
}

var helmFunc = declare("helm", "service", "Declares a service that a third-party Helm chart deploys, with the images that the chart names: see images=.",
	func(c *Call, a *helmArgs) (starlark.Value, error) {
		s := c.deployable(plan.Helm, a.Name, &a.staged, a.Timeout)
		s.Plan.Values, s.Plan.Adopt = c.fill(s, a.Values), a.Adopt
		c.releaseNamespace(s, a.Namespace)
		c.mirrored(s, a.podImages)
		if a.Chart != nil {
			chart := a.Chart.plan
			chart.ValuesFiles = append(chart.ValuesFiles[:len(chart.ValuesFiles):len(chart.ValuesFiles)], c.valuesFiles(a.ValuesFiles)...)
			s.Plan.Chart = &chart
		}
		return c.declared(s), nil
	})

// valuesFiles makes values files inputs, and returns their paths in the workspace.
func (c *Call) valuesFiles(names []string) []string {
	var out []string
	for i, f := range names {
		name, p := c.resolve(f)
		if p == nil {
			data, err := c.Session.Files.Read(name, plan.InputValues)
			if err != nil {
				p = c.Session.Files.problem(name, err)
				if env := c.Session.Environment.Name; errors.Is(err, fs.ErrNotExist) && p.Hint == "" && p.Suggest == "" && env != "" && strings.Contains(path.Base(name), env) {
					p = p.WithHint("it has the name of the environment, %s: --env chooses another one, and glob(%q) is empty if there is no such file", env, explain.Clip(f))
				}
			} else {
				p = c.checkValuesFile(name, data)
			}
		}
		c.wrong("values_files", p.In(i))
		out = append(out, name)
	}
	return out
}

// checkValuesFile checks that Helm can read a values file. Each is checked once.
func (c *Call) checkValuesFile(name string, data []byte) *explain.Error {
	if c.Session.valuesFiles[name] || c.Session.Meter.Charge(parseSize*uint64(len(data))) != nil {
		return nil // a bound ends the evaluation
	}
	if c.Session.valuesFiles == nil {
		c.Session.valuesFiles = map[string]bool{}
	}
	c.Session.valuesFiles[name] = true
	err := shallow(data)
	var text []byte
	if err == nil {
		text, err = bounded.Await(c.Session.Meter, len(data), func() ([]byte, error) { return yamlJSON(data, false) })
	}
	switch text = bytes.TrimSpace(text); {
	case bound(err):
		return nil
	case err != nil:
		return explain.Errorf("%s: %v", name, err)
	case text[0] != '{' && string(text) != "null":
		return explain.Errorf("%s is not a file of values: want a mapping", name)
	}
	return nil
}

// podImages is what is done with the images that charts and manifests name.
type podImages struct {
	Images string `arg:"images,kw" default:"\"mirror\"" choices:"mirror|keep" help:"what happens to the images that its pods name: mirror deploys copies from the pipeline's registry, by digest; keep deploys the images as they are named"`
}

// mirrored sets whether the images that a service names are mirrored.
func (c *Call) mirrored(s *Service, a podImages) {
	c.wrong("images", c.choice("images", a.Images))
	s.Plan.MirrorImages = a.Images == "mirror"
}
