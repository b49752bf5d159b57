package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pipelinefile/pipe/builtins"
)

const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`

const usageFooter = `{{if and .HasParent .HasAvailableLocalFlags}}
Every flag has a variable: --wait-lock is PIPE_WAIT_LOCK. A flag takes precedence over its variable; an empty variable counts as not set.
{{end}}`

// execute runs the command line.
func (a *app) execute(ctx context.Context) error {
	root := a.root()
	root.SetArgs(a.args)
	cmd, err := root.ExecuteContextC(ctx)
	var started *startedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &started):
		return started.error
	}
	// Any error before a command starts is a usage error.
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	return &usageError{cmd.CommandPath(), err}
}

// A startedError is an error of a command whose command line was valid.
type startedError struct{ error }

// root returns the root command with all its verbs.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "pipe",
		Short: "A deployment pipeline as a language",
		Long: `pipe builds and deploys what a Pipelinefile declares: images with BuildKit, kept
in one registry, deployed as Helm releases to Kubernetes, stage after stage.`,
		Example: `  pipe plan                    what a run would do, and why
  pipe run --local             build and deploy on a local Kubernetes
  pipe run --env staging       build and deploy to the current cluster`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := noEmptyArguments(cmd, args); err != nil {
				return err
			}
			if a.divert != nil && !isDaemon(cmd) {
				a.divert(a.noteOnce())
			}
			return a.bindVariables(cmd)
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 100") + usageFooter)
	root.SetFlagErrorFunc(flagError)
	group := func(title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: title, Title: title + ":"})
		for _, c := range commands {
			c.GroupID = title
			root.AddCommand(c)
		}
	}
	group("A pipeline", a.initCmd(), a.planCmd(), a.runCmd(), a.explainCmd(), a.graphCmd(), a.ejectCmd())
	group("Environments", a.deployCmd(), a.stopCmd(), a.startCmd(), a.restartCmd(), a.rollbackCmd(), a.deleteCmd(),
		a.cloneCmd(), a.previewCmd(), a.skipCmd(), a.unskipCmd(), a.moveCmd(), a.cancelCmd(), a.gcCmd(), a.imagesCmd(), a.buildersCmd())
	group("Inspecting environments", a.envsCmd(), a.statusCmd(), a.waitCmd(), a.diffCmd(), a.outdatedCmd(), a.sbomCmd(), a.scanCmd(), a.historyCmd(), a.logsCmd(), a.eventsCmd(), a.forwardCmd(), a.execCmd())
	group("The language", a.docCmd(), a.replCmd(), a.testCmd(), a.lintCmd(), a.fmtCmd(), a.modCmd(), a.lspCmd())
	root.AddCommand(a.doctorCmd(), a.versionCmd(), a.daemonCmd())
	for _, c := range root.Commands() {
		start(c)
	}
	strictly(root)
	return root
}

// start wraps the errors of the commands below c in a startedError.
func start(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			err := run(cmd, args)
			var usage *usageError
			if err == nil || errors.As(err, &usage) {
				return err
			}
			return &startedError{err}
		}
	}
	for _, sub := range c.Commands() {
		start(sub)
	}
}

// usagef returns a usage error of cmd.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd.CommandPath(), fmt.Errorf(format, args...)}
}

// oneFile checks the arguments of a verb that takes one Pipelinefile.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef(cmd, "only one Pipelinefile can be given, not %s", strings.Join(args, " and "))
	}
	return nil
}

func unknownCommand(cmd *cobra.Command, name string) error {
	return usagef(cmd, "unknown command %q%s", name, didYouMean(name, commandNames(cmd)))
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// didYouMean returns the end of a message that suggests the candidate nearest
// to name, or lists the candidates if they are few.
func didYouMean(name string, candidates []string) string {
	if s := suggestion(name, candidates); s != "" {
		return s
	}
	switch n := len(candidates); {
	case n == 1:
		return "; there is " + candidates[0]
	case n > 1 && n <= 8:
		return "; there are " + strings.Join(candidates, ", ")
	}
	return ""
}

func suggestion(name string, candidates []string) string {
	if near := builtins.Nearest(name, candidates); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// flagError rewords an error of the flag library.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	// "pipe rnu --env x": the command is unknown, not the flag.
	if !cmd.HasParent() {
		if name := firstWord(cmd.Flags()); name != "" {
			return unknownCommand(cmd, name)
		}
	}
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return usagef(cmd, "unknown flag -%s", name)
		}
		return usagef(cmd, "unknown flag --%s%s", name, suggestion("--"+name, flagNames(cmd)))
	case errors.As(err, &value):
		return usagef(cmd, "--%s %s: %w", value.GetFlag().Name, quotedIfBlank(value.GetValue()), value.Unwrap())
	}
	return &usageError{cmd.CommandPath(), err}
}

// quotedIfBlank quotes a value that would be invisible.
func quotedIfBlank(text string) string {
	if strings.TrimSpace(text) == "" {
		return strconv.Quote(text)
	}
	return text
}

// firstWord returns the first argument that is not a flag.
func firstWord(flags *pflag.FlagSet) string {
	if args := flags.Args(); len(args) > 0 {
		return args[0]
	}
	return ""
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	slices.Sort(names)
	return names
}

// bindVariables sets each flag that is not on the command line from its
// variable (C1).
func (a *app) bindVariables(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value, ok := a.env(variable(f.Name))
		if err != nil || f.Changed || f.Name == "help" || !ok || value == "" {
			return
		}
		values := []string{value}
		if f.Value.Type() == "stringArray" { // values may contain commas: one per line
			values = strings.Split(strings.TrimRight(value, "\n"), "\n")
		}
		for _, v := range values {
			if e := f.Value.Set(v); e != nil {
				err = usagef(cmd, "%s=%s: %w", variable(f.Name), quotedIfBlank(value), e)
				return
			}
		}
		f.Changed = true
	})
	return err
}

// variable returns the name of the variable of a flag.
func variable(flag string) string {
	return "PIPE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
