package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite golden and generated files")

const commandsPage = "../../docs/commands.md"

// TestGenerateCommands compares docs/commands.md with the commands.
func TestGenerateCommands(t *testing.T) {
	got := commandReference((&app{}).root())
	if *update {
		if err := os.MkdirAll("../../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(commandsPage, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatalf("%v\nwrite it with: make generate", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/commands.md is not what the commands say; write it with: make generate\n(-page +commands):\n%s", diff)
	}
}

// commandReference returns the page about all commands that are not hidden.
func commandReference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nThis page lists every command of `pipe`, with its flags and examples. It is written by `make generate`.\n\n")
	b.WriteString("Every flag has a variable: `--wait-lock` is `PIPE_WAIT_LOCK`. A flag takes precedence over its variable, and a variable over the\n" +
		"default. The variable of a repeatable flag has one value per line, or values separated by commas if values of the flag never contain commas.\n" +
		"It is invalid usage to give a flag an empty value, a negative number or time, or 0 where 0 has no meaning, and to give an empty\n" +
		"argument: `--env \"$ENV\"` never acts on `default` because a variable is not set. An empty `PIPE_` variable, including `PIPE_HOME`,\n" +
		"counts as not set, and so do an empty `BUILDKIT_HOST` and `KUBECONFIG`. Other values that a flag refuses, its variable refuses, too.\n" +
		"If `NO_COLOR` is set, output has no colours. State on this machine is in `$PIPE_HOME`.\n\n" +
		"| exit status | meaning |\n| --- | --- |\n")
	for _, s := range []struct {
		status  int
		meaning string
	}{
		{statusDone, "done"},
		{statusFailed, "the run failed"},
		{statusChanges, "there are changes (with `--detailed-exitcode`)"},
		{statusFile, "the Pipelinefile has errors"},
		{statusLocked, "the environment is locked by another run"},
		{statusTimeout, "timed out"},
		{statusUsage, "invalid usage"},
		{statusHangup, "the terminal was closed"},
		{statusInterrupted, "interrupted, or cancelled from elsewhere"},
		{statusTerminated, "terminated"},
	} {
		fmt.Fprintf(&b, "| %d | %s |\n", s.status, s.meaning)
	}
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			commandSection(&b, c)
		}
	}
	return b.String()
}

func commandSection(b *strings.Builder, c *cobra.Command) {
	about := c.Long
	if about == "" {
		about = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n```\n%s\n```\n", c.CommandPath(), strings.TrimSpace(about), c.UseLine())
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```sh\n%s\n```\n", undent(c.Example))
	}
	first := true
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if first {
			b.WriteString("\n| flag | meaning |\n| --- | --- |\n")
			first = false
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0s" {
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
	})
	if c.HasAvailableSubCommands() {
		b.WriteString("\n| command | meaning |\n| --- | --- |\n")
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(b, "| `%s` | %s |\n", sub.CommandPath(), sub.Short)
		}
	}
}

// TestFlagsAreDocumented: each flag has a usage with an example (C1).
func TestFlagsAreDocumented(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "completion" {
			return
		}
		if c.HasParent() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(f.Usage, "e.g. ") {
				t.Errorf("%s --%s has no example in its usage %q", c.CommandPath(), f.Name, f.Usage)
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&app{}).root())
}
