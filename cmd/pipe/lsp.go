package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp/lint/dockerfile"
	"github.com/pipelinefile/pipe/interp/lsp"
	"github.com/pipelinefile/pipe/plan"
)

func (a *app) lspCmd() *cobra.Command {
	var eval evalFlags
	cmd := &cobra.Command{
		Use:   "lsp",
		Short: "Run the language server",
		Long: `lsp is the language server: an editor starts it and speaks the Language Server
Protocol with it over standard input and output. It reports errors in a
Pipelinefile and its modules as they are in the editor, completes, shows help,
finds and renames. docs/editors.md says how to set up an editor.

It evaluates for --env with the given parameters, and uses a placeholder
for each parameter without a value.`,
		Example: `  pipe lsp
  pipe lsp --env staging --params staging.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			params, err := a.parameters(cmd, eval)
			if err != nil {
				return err
			}
			return lsp.Serve(cmd.Context(), a.stdin, ui.Raw(a.stdout), lsp.Options{
				Environment: plan.EnvironmentRef{Name: eval.env, Kind: plan.KindEnvironment},
				Params:      params,
				Version:     version,
				Cache:       a.moduleCache(),
				Dockerfiles: dockerfile.Builds,
				Library:     filepath.Join(a.home(), "lsp", "std"),
			})
		},
	}
	eval.add(cmd)
	cmd.Flags().Bool("stdio", true, "use standard input and output, e.g. pipe lsp --stdio; it is the only transport, and some editors pass the flag")
	return cmd
}
