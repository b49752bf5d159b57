package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// fileName is the name of a Pipelinefile that is looked for.
const fileName = "Pipelinefile"

// abs returns path as it is seen from the folder of the command.
func (a *app) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(a.dir, path)
}

// find returns the Pipelinefile that args names, or else the nearest one, here
// or in a folder above.
func (a *app) find(cmd *cobra.Command, args []string) (string, error) {
	if len(args) > 0 {
		file := a.abs(args[0])
		info, err := os.Stat(file)
		if err == nil && info.IsDir() {
			file = filepath.Join(file, fileName)
			_, err = os.Stat(file)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", usagef(cmd, "there is no %s", file)
		case err != nil:
			return "", usagef(cmd, "%w", err)
		}
		return file, nil
	}
	if file, ok := a.nearest(); ok {
		return file, nil
	}
	return "", usagef(cmd, "there is no %s in %s or in a folder above it; name one: %s FILE", fileName, a.dir, cmd.CommandPath())
}

// nearest returns the Pipelinefile here or in the nearest folder above that has one.
func (a *app) nearest() (file string, ok bool) {
	for dir := a.dir; ; dir = filepath.Dir(dir) {
		file := filepath.Join(dir, fileName)
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file, true
		}
		if filepath.Dir(dir) == dir {
			return "", false
		}
	}
}

// An evaluation is a plan and the folder that its paths are below.
type evaluation struct {
	plan      *plan.Plan
	workspace string
	recorded  []string // parameters with the value that the environment has of them
}

// evaluate makes the plan of a Pipelinefile. What it prints is shown as it is
// printed.
func (a *app) evaluate(ctx context.Context, cmd *cobra.Command, file string, f evalFlags, printed func(plan.Pos, string)) (evaluation, error) {
	return a.evaluateFor(ctx, cmd, file, f, plan.EnvironmentRef{Name: f.env, Kind: "environment"}, nil, printed)
}

// evaluateFor makes the plan of a Pipelinefile for an environment. What the
// flags say goes before params.
func (a *app) evaluateFor(ctx context.Context, cmd *cobra.Command, file string, f evalFlags, ref plan.EnvironmentRef, params map[string]string, printed func(plan.Pos, string)) (evaluation, error) {
	given, err := a.parameters(cmd, f)
	if err != nil {
		return evaluation{}, err
	}
	params, recorded := below(params, given)
	root, err := interp.Workspace(file)
	if err != nil {
		return evaluation{}, err
	}
	p, err := interp.Eval(ctx, file, interp.Options{
		Environment: ref,
		Params:      params,
		Root:        root,
		Cache:       a.moduleCache(),
		Version:     version, // of a release, for require_version()
		Print:       printed,
	})
	return evaluation{p, root, recorded}, err
}

// parameters gathers the values of --params and --set.
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

// readParams reads a map of parameters. A value that is no text is given as the
// text that stands for it in JSON.
func (a *app) readParams(file string, params map[string]string) error {
	data, err := os.ReadFile(a.abs(file))
	if err != nil {
		return err
	}
	if data, err = yaml.YAMLToJSONStrict(data); err != nil {
		return err
	}
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &values); err != nil {
		return errors.New("it must hold a map from names of parameters to values")
	}
	for name, raw := range values {
		text := string(bytes.TrimSpace(raw))
		if strings.HasPrefix(text, `"`) {
			if err := json.Unmarshal(raw, &text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		params[name] = text
	}
	return nil
}
