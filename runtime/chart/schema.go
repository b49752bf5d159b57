package chart

import (
	"bytes"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chartutil"
)

// compileSchema compiles the schema of generated charts. Helm does this for each release,
// and it takes about as long as rendering a chart.
func compileSchema(text []byte) (*jsonschema.Schema, error) {
	const url = "file:///values.schema.json"
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	return c.Compile(url)
}

// Validate returns an error if values, as Whole returns them, violate the schema of a
// generated chart. For other charts it returns nil: whoever renders them validates the
// values.
func (c *Chart) Validate(values map[string]any) error {
	if c.schemaOf == nil {
		return nil
	}
	whole, err := c.chart()
	if err != nil {
		return err
	}
	all, err := chartutil.CoalesceValues(whole, values)
	if err != nil {
		return err
	}
	schema, err := c.schemaOf()
	if err != nil {
		return err
	}
	if err := schema.Validate(all.AsMap()); err != nil {
		return fmt.Errorf("values of the generated chart: %w", err)
	}
	return nil
}
