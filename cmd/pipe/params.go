package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// parameters collects the values of --params and --set.
func (a *app) parameters(cmd *cobra.Command, f evalFlags) (map[string]string, error) {
	params := map[string]string{}
	for _, file := range f.params {
		if err := a.readParams(file, params); err != nil {
			return nil, usagef(cmd, "--params %s: %w", file, err)
		}
	}
	for _, kv := range f.set {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return nil, usagef(cmd, "--set %s: write it as name=value", kv)
		}
		params[name] = value
	}
	return params, nil
}

// readParams reads a YAML or JSON file with a map of parameters.
func (a *app) readParams(file string, params map[string]string) error {
	data, err := os.ReadFile(a.abs(file))
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) == 0 { // an empty file has no content
		return err
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return errors.New("it must contain a map of parameter names to values")
	}
	var values map[string]*paramValue
	if err := doc.Decode(&values); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == nil {
			return fmt.Errorf(`%s has no value: write "" for an empty string`, name)
		}
		params[name] = string(*values[name])
	}
	return nil
}

// A paramValue is a value in a parameter file as --set would give it: a scalar
// as written, so that 1.10 stays 1.10; a list or a map as JSON.
type paramValue string

// UnmarshalYAML is not called for null.
func (v *paramValue) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*v = paramValue(n.Value)
		return nil
	}
	var tree any
	if err := n.Decode(&tree); err != nil {
		return err
	}
	data, err := json.Marshal(tree)
	*v = paramValue(data)
	return err
}
