package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/initialize"
	"github.com/pipelinefile/pipe/internal/atomicfile"
)

func (a *app) initCmd() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first Pipelinefile from the files in a directory",
		Long: `init writes a Pipelinefile from a compose file, a helmfile, Kubernetes manifests or Dockerfiles.
It reads the first of these that it finds in the directory. --from names another one; its content
shows what it is. Whatever cannot be converted becomes a TODO comment at its service, which says
what to do.

init executes nothing, including the templates of a helmfile, and reads nothing outside the
directory. It does not copy the values of secrets: a variable that looks like a secret becomes
secret(…). It does not overwrite a file.`,
		Example: `  pipe init
  pipe init --from compose.yaml
  pipe init --from k8s
  pipe init --from helmfile.yaml --to -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(cmd, "%s takes no argument; name what is read with --from %s", cmd.CommandPath(), args[0])
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.initialize(cmd, from, to)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "read this `path`: a compose file, a helmfile, a Dockerfile, or a file or directory of Kubernetes manifests, e.g. --from compose.yaml")
	cmd.Flags().StringVar(&to, "to", fileName, "write this `file`, or standard output, e.g. --to -")
	return cmd
}

func (a *app) initialize(cmd *cobra.Command, from, to string) error {
	file, w := a.abs(to), a.stdout
	if to == "-" {
		w = a.stderr
	} else if _, err := os.Lstat(file); err == nil {
		return alreadyThere(to)
	}
	if from != "" {
		from = a.abs(from)
	}
	made, err := initialize.Make(cmd.Context(), initialize.Options{Dir: a.dir, From: from})
	if err != nil {
		return err
	}
	if to == "-" {
		_, err = a.file().Write(made.Text)
	} else {
		err = atomicfile.Create(file, made.Text, 0o644)
	}
	if errors.Is(err, fs.ErrExist) {
		return alreadyThere(to)
	}
	if err != nil {
		return err
	}
	return a.initialized(w, made, to)
}

func alreadyThere(file string) error {
	return fmt.Errorf("%s exists, and pipe init does not overwrite files: write another file with --to FILE, or standard output with --to -", file)
}

// initialized reports what was written and what to do next.
func (a *app) initialized(w io.Writer, made *initialize.Result, to string) error {
	var b strings.Builder
	from, services := made.From, "services"
	if from == "." {
		from = "Dockerfiles"
	}
	if made.Services == 1 {
		services = "service"
	}
	name := to
	if to == "-" {
		name = "a Pipelinefile"
	}
	fmt.Fprintf(&b, "wrote %s from %s: %d %s\n", name, from, made.Services, services)
	switch {
	case made.Left == 1:
		b.WriteString("  1 TODO comment says what could not be converted\n")
	case made.Left > 1:
		fmt.Fprintf(&b, "  %d TODO comments say what could not be converted\n", made.Left)
	}
	if len(made.Secrets) > 0 {
		fmt.Fprintf(&b, "  secrets to pass with pipe run --secrets FILE: %s\n", strings.Join(made.Secrets, ", "))
	}
	for _, other := range made.Also {
		fmt.Fprintf(&b, "  %s was not read; to convert it, run: pipe init --from %s --to -\n", other, other)
	}
	if to != "-" {
		for _, verb := range []string{"lint", "plan", "run"} {
			at := ""
			if filepath.Base(to) != to || to != fileName {
				at = " " + to
			}
			fmt.Fprintf(&b, "next: pipe %s%s\n", verb, at)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
