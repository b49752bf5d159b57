package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/modules"
)

// moduleDir returns the directory of remote modules on this machine.
func (a *app) moduleDir() string { return filepath.Join(a.home(), "modules") }

// moduleCache returns the module cache that evaluation reads.
func (a *app) moduleCache() fs.FS { return modules.Cache(a.moduleDir()) }

func (a *app) modCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mod",
		Short: "Fetch and pin the remote modules that a Pipelinefile loads",
		Long: `mod fetches the remote modules that a Pipelinefile loads, from git and from registries,
and pins them in Pipelinefile.lock beside it. Commit that file: all other commands evaluate exactly
the pinned versions, and never fetch anything.`,
		Example: `  pipe mod sync       # after a load of a remote module was written, or after a clone
  pipe mod update     # when a branch or a tag has moved
  pipe mod verify     # in CI: everything is pinned and fetched`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.modSyncCmd(), a.modUpdateCmd(), a.modVerifyCmd(), a.modListCmd())
	return cmd
}

// A modVerb is what the verbs of mod have in common.
type modVerb struct {
	file string
	show showFlags
}

func (v *modVerb) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&v.file, "file", "", "the `Pipelinefile`, e.g. --file shop/Pipelinefile (default: the nearest one, here or above)")
	v.show.addOutput(cmd)
}

func (v *modVerb) project(a *app, cmd *cobra.Command) (modules.Project, error) {
	var args []string
	if v.file != "" {
		args = []string{v.file}
	}
	file, err := a.find(cmd, args)
	if err != nil {
		return modules.Project{}, err
	}
	root, err := interp.Workspace(file)
	return modules.Project{File: file, Root: root, Cache: a.moduleDir()}, err
}

// write writes modules: as data, or each formatted by line.
func (v *modVerb) write(a *app, list []modules.Module, line func(modules.Module) string) error {
	if list == nil {
		list = []modules.Module{}
	}
	result := struct {
		Version int              `json:"version"`
		Modules []modules.Module `json:"modules"`
	}{1, list}
	return a.write(v.show.output, result, func() error {
		for _, m := range list {
			if text := line(m); text != "" {
				fmt.Fprintln(a.stdout, text)
			}
		}
		return nil
	})
}

// changed says what was done with a module.
func changed(m modules.Module) string {
	switch m.Change {
	case modules.Pinned:
		return fmt.Sprintf("pinned %s at %s", m.Name, m.At())
	case modules.Updated:
		return fmt.Sprintf("updated %s from %s to %s", m.Name, m.Was, m.At())
	}
	return ""
}

func (a *app) modSyncCmd() *cobra.Command {
	var v modVerb
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Fetch loaded modules, and pin new ones",
		Long: `sync fetches the remote modules that the Pipelinefile loads, and those that they load:
pinned modules at their pins; other modules at their current version, which it pins. Pins of modules that nothing
loads any more are removed. It is an error if the content of a module does not match its pin.`,
		Example: `  pipe mod sync
  pipe mod sync --file shop/Pipelinefile -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := v.project(a, cmd)
			if err != nil {
				return err
			}
			list, err := p.Sync(cmd.Context())
			if err != nil {
				return err
			}
			a.note(fmt.Sprintf("remote modules fetched and pinned: %d", len(list)))
			return v.write(a, list, changed)
		},
	}
	v.add(cmd)
	return cmd
}

func (a *app) modUpdateCmd() *cobra.Command {
	var v modVerb
	cmd := &cobra.Command{
		Use:   "update [MODULE]…",
		Short: "Update pins to where branches and tags point now",
		Long: `update resolves the refs of the named modules again, or of all modules if none is
named, then fetches and pins the result. For another version, change the load and run pipe mod sync.`,
		Example: `  pipe mod update
  pipe mod update git+https://example.com/lib@main`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := v.project(a, cmd)
			if err != nil {
				return err
			}
			if err := a.checkModules(cmd, p, args); err != nil {
				return err
			}
			list, err := p.Update(cmd.Context(), args)
			if err != nil {
				return err
			}
			a.note(fmt.Sprintf("remote modules fetched and pinned: %d", len(list)))
			return v.write(a, list, changed)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			p, err := v.project(a, cmd)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			list, _ := p.Verify(cmd.Context()) // an empty list is fine
			return moduleNames(list), cobra.ShellCompDirectiveNoFileComp
		},
	}
	v.add(cmd)
	return cmd
}

// checkModules rejects names that the project neither loads nor pins.
func (a *app) checkModules(cmd *cobra.Command, p modules.Project, names []string) error {
	if len(names) == 0 {
		return nil
	}
	list, err := p.Verify(cmd.Context())
	if err != nil {
		return err
	}
	known := moduleNames(list)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return usagef(cmd, "nothing loads the module %q%s", name, didYouMean(name, known))
		}
	}
	return nil
}

func moduleNames(list []modules.Module) []string {
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	return names
}

func (a *app) modVerifyCmd() *cobra.Command {
	var v modVerb
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that all loaded modules are pinned and match their pins",
		Long: `verify compares all fetched modules with Pipelinefile.lock. It fails if
a loaded module is not pinned, is not fetched or does not match its pin, or if a module
is pinned that nothing loads. It needs no network.`,
		Example: `  pipe mod verify
  pipe mod verify -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := v.project(a, cmd)
			if err != nil {
				return err
			}
			list, err := p.Verify(cmd.Context())
			if err != nil {
				return err
			}
			var wrong []error
			for _, m := range list {
				if m.Problem != "" {
					wrong = append(wrong, fmt.Errorf("%s: %s", m.Name, m.Problem))
				}
			}
			if len(wrong) > 0 {
				wrong = append(wrong, errors.New("run: pipe mod sync"))
			} else {
				a.note(fmt.Sprintf("remote modules verified: %d", len(list)))
			}
			return errors.Join(v.write(a, list, func(modules.Module) string { return "" }), errors.Join(wrong...))
		},
	}
	v.add(cmd)
	return cmd
}

func (a *app) modListCmd() *cobra.Command {
	var v modVerb
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List remote modules, their pins and what loads them",
		Long:  `list shows every remote module that is loaded or pinned. It needs no network.`,
		Example: `  pipe mod list
  pipe mod list -o json | jq -r '.modules[].commit'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := v.project(a, cmd)
			if err != nil {
				return err
			}
			list, err := p.Verify(cmd.Context())
			if err != nil {
				return err
			}
			return v.write(a, list, func(m modules.Module) string {
				text := m.Name + "\n"
				if at := m.At(); at != "" {
					text += "  pinned to " + at + "\n"
				}
				for _, by := range m.LoadedBy {
					text += "  loaded by " + by + "\n"
				}
				if m.Problem != "" {
					text += "  " + m.Problem + "\n"
				}
				return text[:len(text)-1]
			})
		},
	}
	v.add(cmd)
	return cmd
}
