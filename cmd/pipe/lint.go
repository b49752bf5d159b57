package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/interp/lint/dockerfile"
	"github.com/pipelinefile/pipe/plan"
)

func (a *app) lintCmd() *cobra.Command {
	var (
		eval   evalFlags
		output = "text"
		fix    bool
	)
	cmd := &cobra.Command{
		Use:   "lint [PIPELINEFILE]",
		Short: "Look for what is right in the language and wrong all the same",
		Long: `lint looks at a Pipelinefile, the modules of the workspace that it loads, the plan that they
make, and the Dockerfiles of its builds: unused names, tags that move, charts without a version,
hosts of later stages. docs/lint.md lists the rules. It evaluates for --env, makes up a value for each parameter that has none, and asks no network.
Of a file of tests, *_test.star, it looks at the text.

The exit status is 0 if nothing is found, 1 if something is, 3 if the file is wrong. A finding
is silenced where it is: # lint: ignore RULE: reason`,
		Example: `  pipe lint
  pipe lint --fix
  pipe lint shop_test.star
  pipe lint --env staging -o sarif > lint.sarif`,
		Args:              oneFile,
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := a.find(cmd, args)
			if err != nil {
				return err
			}
			return a.lint(cmd, file, eval, output, fix)
		},
	}
	eval.add(cmd)
	cmd.Flags().BoolVar(&fix, "fix", false, "correct what can be corrected, e.g. pipe lint --fix")
	choice(cmd, &output, "output", "o", []string{"text", "json", "sarif"}, "write findings as `format`, on standard output, e.g. -o sarif: text, json, sarif")
	return cmd
}

func (a *app) lint(cmd *cobra.Command, file string, eval evalFlags, output string, fix bool) error {
	params, err := a.parameters(cmd, eval)
	if err != nil {
		return err
	}
	root, err := interp.Workspace(file)
	if err != nil {
		return err
	}
	opts := interp.Options{
		Environment: plan.EnvironmentRef{Name: eval.env, Kind: "environment"}, Params: params, StandIns: true, Root: root, Cache: a.moduleCache(), Version: version,
	}
	if fix {
		if err := fixAll(cmd.Context(), file, opts); err != nil {
			return err
		}
	}
	found, err := lintAll(cmd.Context(), file, opts)
	if err != nil {
		return err
	}
	switch output {
	case "json":
		err = a.write("json", found, nil)
	case "sarif":
		var data []byte
		if data, err = lint.SARIF(found, version); err == nil {
			_, err = a.stdout.Write(data)
		}
	default:
		for _, f := range found {
			fmt.Fprintln(a.stdout, f.Diagnostic())
		}
	}
	switch {
	case err != nil:
		return err
	case len(found) == 1:
		return errors.New("one finding")
	case len(found) > 1:
		return fmt.Errorf("%d findings", len(found))
	}
	return nil
}

// looked returns the plan of a file whose modules are looked at. A file of tests
// makes none, and is looked at alone.
func looked(ctx context.Context, file string, opts interp.Options) (*plan.Plan, error) {
	if !strings.HasSuffix(file, builtins.TestSuffix) {
		return interp.Eval(ctx, file, opts)
	}
	name, err := filepath.Rel(opts.Root, file)
	return &plan.Plan{Inputs: []plan.Input{{Path: filepath.ToSlash(name), Kind: plan.InputModule}}}, err
}

// lintAll looks at all that a Pipelinefile is made of.
func lintAll(ctx context.Context, file string, opts interp.Options) ([]lint.Finding, error) {
	out := []lint.Finding{}
	p, err := lintTexts(ctx, file, opts, func(_ string, _ []byte, found []lint.Finding) error {
		out = append(out, found...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	docker, err := dockerfile.Builds(ctx, p, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(opts.Root, filepath.FromSlash(name)))
	})
	if err != nil {
		return nil, err
	}
	out = append(out, docker...)
	lint.Sort(out)
	return out, nil
}

// fixAll corrects what can be corrected in the modules that a Pipelinefile is made of.
func fixAll(ctx context.Context, file string, opts interp.Options) error {
	_, err := lintTexts(ctx, file, opts, func(path string, src []byte, found []lint.Finding) error {
		fixed, n := lint.Fix(src, found)
		if n == 0 {
			return nil
		}
		return replaceFile(path, fixed)
	})
	return err
}

// lintTexts calls f for the Pipelinefile and each module of the workspace that it
// loads, with what its text and the plan show and nobody silences; it returns
// the plan.
func lintTexts(ctx context.Context, file string, opts interp.Options, f func(path string, src []byte, found []lint.Finding) error) (*plan.Plan, error) {
	p, err := looked(ctx, file, opts)
	if err != nil {
		return nil, err
	}
	ofPlan := lint.Plan(p)
	return p, eachModule(p, file, opts.Root, func(name, path string, kind lint.Kind) error {
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found, err := lint.Source(ctx, name, kind, src, opts)
		if err != nil {
			return err
		}
		line := lint.Lines(src)
		for _, of := range ofPlan {
			if of.Pos.File == name {
				of.Line = line(of.Pos.Line)
				found = append(found, of)
			}
		}
		return f(path, src, lint.Silence(name, src, found, p.Version != 0))
	})
}

// eachModule calls f for the Pipelinefile and each module of the workspace that
// it loads: with its name as positions show it, and its path.
func eachModule(p *plan.Plan, file, root string, f func(name, path string, kind lint.Kind) error) error {
	for _, in := range p.Inputs {
		if in.Kind != plan.InputModule {
			continue
		}
		path, kind := filepath.Join(root, filepath.FromSlash(in.Path)), lint.Module
		if path == file && !strings.HasSuffix(file, builtins.TestSuffix) {
			kind = lint.Pipelinefile
		}
		if err := f(in.Path, path, kind); err != nil {
			return err
		}
	}
	return nil
}
