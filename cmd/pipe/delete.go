package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

func (a *app) deleteCmd() *cobra.Command {
	var flags actFlags
	var yes, keepVolumes bool
	cmd := &cobra.Command{
		Use:   "delete ENV",
		Short: "Uninstall an environment",
		Long: `delete uninstalls the releases of an environment, the last stage first, including those of skipped
services, then its secrets, its volumes and its namespace. With --service it
uninstalls only these services. Jobs with on="delete" run before
the services of their stage and of earlier stages are deleted.

An environment with a damaged record can be deleted, but only as a whole: every object
with its labels is deleted, in no particular order, and no job runs first.

It lists what it will delete and asks for confirmation. Without a terminal it requires --yes.`,
		Example: `  pipe delete staging
  pipe delete preview-42 --yes
  pipe delete staging --keep-volumes
  pipe delete staging --service mail --yes`,
		Args: takes("ENV"),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer a.hide()
			if !yes && !a.asks() {
				return cannotAsk(cmd, "")
			}
			if keepVolumes && len(flags.run.services) > 0 {
				return usagef(cmd, "--keep-volumes applies to a whole environment: deleting services always keeps their volumes")
			}
			if _, err := a.progress(cmd, flags.show); err != nil {
				return err
			}
			env, err := a.actOn(cmd, args[0], flags)
			var damaged *runtime.DamagedError
			if errors.As(err, &damaged) && len(flags.run.services) == 0 {
				env, err = &runtime.Environment{Key: damaged.Key}, nil
			}
			if err != nil {
				return err
			}
			req := a.request(runtime.Delete, env.Key, flags.run)
			req.KeepVolumes = keepVolumes
			return a.withParts(cmd, flags.part, env.Plan, func(rt *local.Runtime) error {
				if damaged != nil {
					env.Namespaces = rt.RecordedNamespaces(cmd.Context(), env.Key)
				}
				releases, err := goingReleases(cmd.Context(), rt, env, flags.run.services)
				if err != nil {
					return err
				}
				going := ui.Going{Environment: env.Key, Plan: env.Plan, KeepVolumes: keepVolumes,
					Releases: releases, Further: env.FurtherNamespaces(), Whole: len(flags.run.services) == 0}
				if !yes {
					a.hide()
					if err := a.confirm(going); err != nil {
						return err
					}
					if _, err := a.progress(cmd, flags.show); err != nil {
						return err
					}
				}
				return a.carryOut(cmd.Context(), rt, req, env.Plan, flags.show)
			})
		},
	}
	flags.add(a, cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask, e.g. pipe delete preview-42 --yes")
	cmd.Flags().BoolVar(&keepVolumes, "keep-volumes", false, "keep volumes and the credentials of databases, and hence the namespace, e.g. pipe delete staging --keep-volumes")
	return cmd
}

// goingReleases returns the releases that will be deleted: those of the named
// services or, without names, all.
func goingReleases(ctx context.Context, rt *local.Runtime, env *runtime.Environment, services []string) ([]runtime.Place, error) {
	var all []runtime.Place
	for _, namespace := range env.AllNamespaces() {
		deployed, err := rt.Deployer.Deployed(ctx, namespace)
		if err != nil {
			return nil, err
		}
		for name, d := range deployed {
			if d.Owner == env.Key.Owner() && (len(services) == 0 || slices.Contains(services, name)) {
				all = append(all, runtime.Place{Namespace: namespace, Name: name})
			}
		}
	}
	slices.SortFunc(all, runtime.ComparePlaces)
	return all, nil
}

// asks reports whether the user can be asked.
func (a *app) asks() bool { return a.terminal() && a.typed != nil && a.typed() }

// cannotAsk returns the error of a verb that asks for confirmation, without a terminal. instead is
// what else can be done than to confirm with --yes; empty: nothing.
func cannotAsk(cmd *cobra.Command, instead string) error {
	return usagef(cmd, "%s asks for confirmation, but there is no terminal: confirm with --yes%s", cmd.Name(), instead)
}

// confirm lists what will be deleted, and asks for confirmation.
func (a *app) confirm(going ui.Going) error {
	if err := ui.ListGoing(a.stderr, going); err != nil {
		return err
	}
	return a.typedAs("the name of the environment", going.Environment.Name, "nothing was deleted")
}

// typedAs asks the user to type what, and returns an error, with its consequence, if the
// answer is not want.
func (a *app) typedAs(what, want, consequence string) error {
	fmt.Fprintf(a.stderr, "Type %s to confirm: ", what)
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if strings.TrimSpace(answer) != want {
		return fmt.Errorf("the answer was not %q: %s", want, consequence)
	}
	return nil
}
