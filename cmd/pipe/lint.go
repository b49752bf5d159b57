package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/plan"
)

func (a *app) lintCmd() *cobra.Command {
	var (
		eval   evalFlags
		output = "text"
		fix    bool
	)
	cmd := &cobra.Command{
		Use:   "lint [PIPELINEFILE | DIR]",
		Short: "Find valid but questionable code",
		Long: `lint checks a Pipelinefile, the modules of the workspace that it loads, the resulting plan,
and the Dockerfiles of its builds: unused names, moving tags, charts without a version,
hosts of later stages. docs/lint.md lists the rules. It evaluates for --env, uses a placeholder
for each parameter without a value, and needs no network. In a test file, *_test.star, it checks
only the source. In a directory it checks each Pipelinefile with its modules, and the source of
each module that none of them loads.

The exit status is 0 without findings, 1 with findings, 3 if the file is invalid. A finding
is silenced on its line: # lint: ignore RULE: reason`,
		Example: `  pipe lint
  pipe lint --fix
  pipe lint shop_test.star
  pipe lint .
  pipe lint --env staging -o sarif > lint.sarif`,
		Args:              oneFile,
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.lint(cmd, args, eval, output, fix)
		},
	}
	eval.add(cmd)
	cmd.Flags().BoolVar(&fix, "fix", false, "apply automatic fixes, e.g. pipe lint --fix")
	choice(cmd, &output, "output", "o", []string{"text", "json", "sarif"}, "write findings as `format`, on standard output, e.g. -o sarif: text, json, sarif")
	return cmd
}

func (a *app) lint(cmd *cobra.Command, args []string, eval evalFlags, output string, fix bool) error {
	params, err := a.parameters(cmd, eval)
	if err != nil {
		return err
	}
	opts := interp.Options{
		Environment: plan.EnvironmentRef{Name: eval.env, Kind: plan.KindEnvironment}, Params: params, StandIns: true, Cache: a.moduleCache(), Version: version,
	}
	var found []lint.Finding
	if len(args) > 0 && isFolder(a.abs(args[0])) {
		found, err = a.lintFolder(cmd, args[0], opts, fix)
	} else {
		found, err = a.lintOne(cmd, args, opts, fix)
	}
	if err != nil {
		return err
	}
	switch output {
	case "json":
		err = a.write("json", lint.First(maxFindings, found), nil)
	case "sarif":
		var data []byte
		if data, err = lint.SARIF(found, version); err == nil {
			_, err = a.stdout.Write(ui.EscapeJSON(data))
		}
	default:
		for _, f := range lint.First(shownFindings, found) {
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

// Limits for the number of findings written, for people and for programs; the
// last one says how many more there are.
const (
	shownFindings = 50
	maxFindings   = 1000
)

func (a *app) lintOne(cmd *cobra.Command, args []string, opts interp.Options, fix bool) ([]lint.Finding, error) {
	file, err := a.find(cmd, args)
	if err != nil {
		return nil, err
	}
	l, err := newLinted(file, false, opts)
	if err != nil {
		return nil, err
	}
	return l.findings(cmd.Context(), fix)
}

func isFolder(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.IsDir()
}
