package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// execFlags select where a command runs.
type execFlags struct {
	pod       string
	container string
}

func (a *app) execCmd() *cobra.Command {
	var (
		env  envFlags
		part partFlags
		opts execFlags
	)
	cmd := &cobra.Command{
		Use:   "exec ENV SERVICE [-- COMMAND]",
		Short: "Run a command in a container of a service",
		Long: `exec runs a command in a running container of a service, or a shell if no command is given.
Its exit status is that of the command, or 1 if the command could not be run.

It uses the newest ready pod, or else a running one; --pod chooses another. In the pod it
uses the container that the annotation kubectl.kubernetes.io/default-container
names, or else the first one; --container chooses another.

If standard input and output are a terminal, the command gets a terminal of the same size, and
keys such as Ctrl-C go to the command. Otherwise standard input, standard output and
standard error are connected to it. If pipe is interrupted in that case,
the command may keep running in its container.`,
		Example: `  pipe exec staging web
  pipe exec staging web -- ls -l /app
  pipe exec staging db -- pg_dump shop > shop.sql
  pipe exec staging web --container proxy -- cat /etc/proxy.conf`,
		Args: execArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := a.openEnvironment(cmd.Context(), cmd, args[0], targetFlags{env, part})
			if err != nil {
				return err
			}
			if op.env.Plan != nil && op.env.Plan.Service(args[1]) == nil {
				return usagef(cmd, "the plan has no service %q%s", args[1], didYouMean(args[1], serviceNamesOf(op.env.Plan)))
			}
			return a.exec(cmd, op.cluster, op.env, args[1], opts, args[2:])
		},
	}
	env.add(cmd)
	cmd.Flags().StringVar(&opts.pod, "pod", "", "run it in this `pod`, e.g. --pod web-7c9d4b5f6-x2x8p")
	cmd.Flags().StringVar(&opts.container, "container", "", "run it in this `container` of the pod, e.g. --container proxy")
	part.addCluster(cmd)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return a.servicesSoon(cmd, &part, &env, args), cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeEnvironments(&part, 1)(cmd, args, word)
	}
	return cmd
}

// execArgs checks that the command follows "--", so that its flags are not
// taken for those of pipe.
func execArgs(cmd *cobra.Command, args []string) error {
	before := cmd.ArgsLenAtDash()
	if before < 0 {
		before = len(args)
	}
	switch {
	case before < 2:
		return usagef(cmd, "%s takes ENV SERVICE, and a command after --", cmd.CommandPath())
	case before > 2:
		return usagef(cmd, "write -- before the command: %s %s %s -- %s", cmd.CommandPath(), args[0], args[1], strings.Join(args[2:], " "))
	}
	return nil
}

// shell is the default command.
const shell = "sh"

// A noShellError means that a container has no shell.
type noShellError struct{ *reach.StartError }

func (e *noShellError) Error() string {
	return fmt.Sprintf("%s has no shell: %s", e.Place, e.Reason)
}

func (e *noShellError) Unwrap() error { return e.StartError }

// exec runs a command in a container.
func (a *app) exec(cmd *cobra.Command, cluster *local.Cluster, e *runtime.Environment, service string, opts execFlags, command []string) error {
	ctx := cmd.Context()
	ns, err := reach.Open(cluster.Config, e.Key.NamespaceOf(serviceOf(e, service)))
	if err != nil {
		return err
	}
	defer ns.Close()
	at, err := ns.Place(ctx, service, opts.pod, opts.container)
	var unknown *reach.UnknownError
	switch {
	case errors.As(err, &unknown):
		return usagef(cmd, "%w%s", err, didYouMean(unknown.Name, unknown.Candidates))
	case err != nil:
		return cluster.Explain(err)
	}
	if opts.container == "" && len(at.Others) > 0 {
		a.note(fmt.Sprintf("in %s; --container chooses another: %s", at, strings.Join(at.Others, ", ")))
	}
	noCommand := len(command) == 0
	if noCommand {
		command = []string{shell}
	}
	err = a.execAt(ctx, ns, *at, command)
	var start *reach.StartError
	switch {
	case errors.As(err, &start) && noCommand:
		return &noShellError{start}
	case ctx.Err() != nil:
		return errInterrupted
	}
	return cluster.Explain(err)
}

// serviceOf returns a service of an environment, of which only the name may be known.
func serviceOf(e *runtime.Environment, name string) *plan.Service {
	if e.Plan != nil {
		if s := e.Plan.Service(name); s != nil {
			return s
		}
	}
	return &plan.Service{Name: name}
}

// errInterrupted means that a command was interrupted; the exit status says so.
var errInterrupted = errors.New("interrupted")

// execAt runs a command, with the terminal if there is one.
func (a *app) execAt(ctx context.Context, ns *reach.Namespace, at reach.Place, command []string) error {
	// The command writes directly to the terminal, as with ssh.
	c := reach.Command{Args: command, Stdin: a.stdin, Stdout: ui.Raw(a.stdout), Stderr: ui.Raw(a.stderr)}
	var t *tty
	if a.tty != nil {
		t = a.tty()
	}
	if t == nil {
		return ns.Exec(ctx, at, c)
	}
	restore, err := t.raw()
	if err != nil {
		return fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	defer restore()
	sizes := make(chan reach.TerminalSize)
	over := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.sizes(sizes, over)
	}()
	defer func() {
		close(over)
		<-ended
	}()
	c.Terminal = &reach.Terminal{Sizes: sizes}
	return ns.Exec(ctx, at, c)
}

// A tty is a terminal that is both standard input and standard output.
type tty struct {
	raw     func() (restore func(), err error) // raw mode
	size    func() (width, height int, err error)
	resized <-chan os.Signal // nil where the system sends no signal
}

// sizes sends the size of the terminal, and each change, until done.
func (t *tty) sizes(to chan<- reach.TerminalSize, over <-chan struct{}) {
	defer close(to)
	for {
		if w, h, err := t.size(); err == nil {
			select {
			case to <- reach.TerminalSize{Width: uint16(w), Height: uint16(h)}: //nolint:gosec // the system has no larger ones
			case <-over:
				return
			}
		}
		select {
		case <-t.resized:
		case <-over:
			return
		}
	}
}

// adviceOnPods returns how to fix an error of reaching into pods, or "".
func adviceOnPods(err error) string {
	var none *reach.NoPodError
	var shell *noShellError
	switch {
	case errors.As(err, &shell):
		return fmt.Sprintf("run a command that its image contains, such as: pipe exec ENV %s -- /server --version", shell.Place.Service)
	case errors.As(err, &none) && none.Ended():
		return fmt.Sprintf("cannot run a command in a terminated pod; show its output with: pipe logs ENV --service %s", none.Service)
	case errors.As(err, &none):
		return "show the state of the service with: pipe status ENV"
	}
	return ""
}
