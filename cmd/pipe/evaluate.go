package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

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
	return a.evaluateFor(ctx, cmd, file, f, plan.EnvironmentRef{Name: f.env, Kind: plan.KindEnvironment}, nil, printed)
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
		Trees:       f.trees,
		Print:       printed,
	})
	return evaluation{p, root, recorded}, err
}
