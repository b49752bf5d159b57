package main

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/doc"
	"github.com/pipelinefile/pipe/interp"
)

func (a *app) docCmd() *cobra.Command {
	output := "text"
	cmd := &cobra.Command{
		Use:   "doc [NAME]",
		Short: "Show the documentation of a name",
		Long: `doc documents a name: a function or a type of the language, a parameter or an attribute
of one, a module of @std and its functions, a rule of pipe lint, a command. FILE.star is a module
of your own, and FILE.star:NAME a function of it, by its docstring; nothing is run. FILE.star
can be in a remote module, as in a load: it is read at the version that the Pipelinefile here pins, and nothing
is fetched. NAME can also be a name that the Pipelinefile here loads. If a name has several
meanings, all are shown. Without a name doc lists all names.`,
		Example: `  pipe doc
  pipe doc application
  pipe doc service.url
  pipe doc @std//web.star
  pipe doc lib/names.star:full_name
  pipe doc git+https://example.com/lib@v1//web.star
  pipe doc unused-load -o json`,
		Args: cobra.ArbitraryArgs, // a command can have two words
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			entries, err := a.docEntries(cmd)
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return doc.Names(entries), cobra.ShellCompDirectiveDefault // also files
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			entries, err := a.docEntries(cmd)
			if err != nil {
				return err
			}
			name := strings.Join(args, " ")
			if name == "" {
				return a.write(output, entries, func() error { return doc.List(a.stdout, entries) })
			}
			if entries, err = a.docModule(cmd, entries, name); err != nil {
				return err
			}
			found := doc.Find(entries, name)
			loaded, err := a.docLoaded(cmd, entries, name)
			if err != nil && len(found) == 0 {
				return err
			}
			for _, e := range loaded {
				if !slices.ContainsFunc(found, func(f doc.Entry) bool { return f.Name == e.Name }) {
					found = append(found, e)
				}
			}
			if len(found) == 0 {
				return usagef(cmd, "nothing has the name %q%s", name, didYouMean(name, doc.Names(entries)))
			}
			return a.write(output, found, func() error { return doc.Write(a.stdout, found) })
		},
	}
	choice(cmd, &output, "output", "o", []string{"text", "json", "yaml"}, "write it as `format`, on standard output, e.g. -o json: text, json or yaml")
	return cmd
}

// docEntries returns all names that need no file.
func (a *app) docEntries(cmd *cobra.Command) ([]doc.Entry, error) {
	entries := doc.Language()
	library, err := doc.Library(cmd.Context())
	if err != nil {
		return nil, err
	}
	return append(append(entries, library...), commandEntries(cmd.Root())...), nil
}

// docModule adds the names of a module of the workspace or of a remote module,
// if name refers to one.
func (a *app) docModule(cmd *cobra.Command, entries []doc.Entry, name string) ([]doc.Entry, error) {
	file := name
	if i := strings.LastIndex(name, ":"); i >= 0 && path.Ext(name) != ".star" {
		file = name[:i]
	}
	remote := strings.Contains(file, "://")
	if strings.HasPrefix(file, "@") || !remote && path.Ext(file) != ".star" && path.Base(file) != fileName {
		return entries, nil
	}
	text, err := a.moduleText(cmd, file, remote)
	if err != nil {
		return nil, err
	}
	own, err := doc.OfModule(cmd.Context(), file, text)
	if err != nil {
		return nil, err
	}
	return append(entries, own...), nil
}

func (a *app) moduleText(cmd *cobra.Command, file string, remote bool) ([]byte, error) {
	if remote {
		p, err := (&modVerb{}).project(a, cmd)
		if err != nil {
			return nil, err
		}
		return p.Read(file)
	}
	text, err := interp.ReadSource(a.abs(file))
	if err != nil {
		return nil, usagef(cmd, "%w", err)
	}
	return text, nil
}

// docLoaded returns the entries for a name that the Pipelinefile here loads
// from another file; none if it does not.
func (a *app) docLoaded(cmd *cobra.Command, entries []doc.Entry, name string) ([]doc.Entry, error) {
	file, ok := a.nearest()
	if !ok {
		return nil, nil
	}
	text, err := interp.ReadSource(file)
	if err != nil {
		return nil, err
	}
	module, from := doc.Loaded(cmd.Context(), file, text, name)
	if module == "" {
		return nil, nil
	}
	if !strings.HasPrefix(module, "@") && !strings.Contains(module, "://") {
		if module, err = filepath.Rel(a.dir, filepath.Join(filepath.Dir(file), filepath.FromSlash(module))); err != nil {
			return nil, err
		}
	}
	full := module + ":" + from
	if entries, err = a.docModule(cmd, entries, full); err != nil {
		return nil, err
	}
	return doc.Find(entries, full), nil
}

// commandEntries returns the help of the commands below cmd.
func commandEntries(cmd *cobra.Command) []doc.Entry {
	var out []doc.Entry
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			continue
		}
		about := c.Long
		if about == "" {
			about = c.Short + "."
		}
		out = append(out, doc.Entry{
			Name: c.CommandPath(), Kind: doc.Command, Summary: c.Short + ".", Signature: c.UseLine(), Text: about, Example: undent(c.Example),
		})
		out = append(out, commandEntries(c)...)
	}
	return out
}

// undent removes the indentation of examples.
func undent(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}
