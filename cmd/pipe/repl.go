package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/repl"
	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

func (a *app) replCmd() *cobra.Command {
	var eval evalFlags
	cmd := &cobra.Command{
		Use:   "repl [PIPELINEFILE]",
		Short: "Evaluate the language interactively",
		Long: `repl evaluates its input: an expression prints its value, and declarations are kept, so
that :plan can show their plan. If a Pipelinefile is given, it is evaluated first. load()
reads modules of the workspace, fetched remote modules, and @std. :help shows the commands.

Each input is evaluated together with all inputs before it: a failed one has no effect, :undo
removes the last one, and files are read again. The limits of a Pipelinefile apply to the
session as a whole. If standard input is not a terminal, its statements are evaluated one after
another, and the first error ends the session with exit status 3.`,
		Example: `  pipe repl
  pipe repl Pipelinefile --env staging --set title=Books
  echo '[s for s in "a b".split()]' | pipe repl`,
		Args:              oneFile,
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.repl(cmd, args, eval)
		},
	}
	eval.add(cmd)
	return cmd
}

func (a *app) repl(cmd *cobra.Command, args []string, eval evalFlags) error {
	ctx := cmd.Context()
	file, base := filepath.Join(a.dir, fileName), ""
	if len(args) > 0 {
		var err error
		if file, err = a.find(cmd, args); err != nil {
			return err
		}
		if _, err = (&invocation{app: a, cmd: cmd, file: file, eval: eval}).evaluate(ctx, nil); err != nil {
			return err
		}
		text, err := interp.ReadSource(file)
		if err != nil {
			return err
		}
		base = string(text)
	}
	params, err := a.parameters(cmd, eval)
	if err != nil {
		return err
	}
	root, err := interp.Workspace(file)
	if err != nil {
		return err
	}
	s, err := repl.New(file, base, interp.Options{
		Environment: eval.ref(),
		Params:      params, Root: root, Cache: a.moduleCache(), Version: version,
	})
	if err != nil {
		return err
	}
	show := repl.Console{Out: a.stdout, Plan: func(w io.Writer, p *plan.Plan) error {
		return ui.Plan(w, ui.Preview{Plan: p, Namespace: p.Namespace()})
	}}
	in, ok := a.stdin.(*os.File)
	if !ok || a.typed == nil || !a.typed() {
		return repl.Script(ctx, s, a.stdin, show)
	}
	t, err := repl.Open(ctx, in, ui.Raw(a.stdout))
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }() // best effort
	show.Out = ui.NewSafe(t)
	return repl.Talk(ctx, s, t, show)
}
