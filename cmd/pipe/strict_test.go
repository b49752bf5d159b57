package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// eachCommand calls f with every command that a user can run, and its arguments.
func eachCommand(root *cobra.Command, f func(cmd *cobra.Command, path []string)) {
	for _, cmd := range root.Commands() {
		eachCommand(cmd, f)
		if cmd.Runnable() && !cmd.DisableFlagParsing && cmd.Name() != "help" {
			f(cmd, strings.Fields(cmd.CommandPath())[1:])
		}
	}
}

// senseless has values that are invalid for all flags of a type; zero is invalid for most.
func senseless(f *pflag.Flag) []string {
	values := []string{"", " ", "\t\n"}
	_, zero := f.Annotations[zeroMeans]
	switch f.Value.Type() {
	case "bool":
		return []string{"", " ", "maybe"}
	case "int":
		values = append(values, "-1", "0", "1.5", "many")
	case "duration":
		values = append(values, "-1s", "-1ns", "5", "soon")
		if !zero {
			values = append(values, "0", "0s")
		}
	case "stringSlice":
		values = append(values, "a,,b", ",a", "a,")
	}
	return values
}

// TestSenselessFlags: a value that cannot be intended is a usage error, with status 64, for
// each flag of each command.
func TestSenselessFlags(t *testing.T) {
	flags := 0
	b := newBench(t, oneApp)
	eachCommand(b.root(), func(cmd *cobra.Command, path []string) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			for _, value := range senseless(f) {
				flags++
				b.again(append(path, "--"+f.Name+"="+value)...)
				b.run(t, statusUsage)
				if got := b.stderr.String(); !strings.Contains(got, "--"+f.Name) || b.stdout.String() != "" {
					t.Errorf("pipe %q: stdout %q, stderr %q", b.args, b.stdout.String(), got)
				}
			}
		})
	})
	if flags < 500 {
		t.Errorf("%d values were tried; where are the flags?", flags)
	}
}

// TestSenselessVariables: the same holds for the variable of a flag, but an empty variable
// counts as not set.
func TestSenselessVariables(t *testing.T) {
	root := (&app{}).root()
	eachCommand(root, func(cmd *cobra.Command, path []string) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			for _, value := range senseless(f) {
				a := &app{environ: []string{variable(f.Name) + "=" + value}}
				fresh, _, err := a.root().Find(path)
				if err != nil {
					t.Fatal(err)
				}
				err = a.bindVariables(fresh)
				var usage *usageError
				if value == "" {
					if is := fresh.Flags().Lookup(f.Name); err != nil || is.Changed || is.Value.String() != f.Value.String() {
						t.Errorf("pipe %s with an empty %s = %q, %v; want the default", path, variable(f.Name), is.Value, err)
					}
				} else if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), variable(f.Name)+"=") {
					t.Errorf("pipe %s with %s=%q: %v, want wrong usage", path, variable(f.Name), value, err)
				}
			}
		})
	})
}

// TestEmptyArguments: an empty argument is not treated as a missing one.
func TestEmptyArguments(t *testing.T) {
	b := newBench(t, oneApp)
	eachCommand(b.root(), func(_ *cobra.Command, path []string) {
		for _, args := range [][]string{{""}, {" "}, {"", ""}, {"", "", ""}, {"a", ""}} {
			b.again(append(path, args...)...)
			b.run(t, statusUsage)
		}
	})
}

// TestStrictMessages: messages say what is wrong, and what to do.
func TestStrictMessages(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "--env", ""}, "--env \"\": empty value; give a value or omit it"},
		{[]string{"run", "--env=prod", "--context= "}, "--context \" \": empty value; give a value or omit it"},
		{[]string{"run", "--service", "api", "--service", ""}, "--service \"\": empty value; give a value or omit it"},
		{[]string{"deploy", "staging", "--timeout", "-1s"}, "--timeout -1s: must not be negative"},
		{[]string{"logs", "staging", "--tail", "0"}, "--tail 0: must be greater than 0"},
		{[]string{"delete", ""}, "argument 1 is empty; is it a variable that is not set?"},
	} {
		b := newBench(t, oneApp, test.args...)
		b.run(t, statusUsage)
		checkText(t, "stderr", b.stderr.String(), "error: "+test.want+"\nsee: pipe "+test.args[0]+" --help\n")
	}
}

// TestZeroThatIsMeant: a time of 0 means no limit if the help says so, and the value of a
// parameter may be empty.
func TestZeroThatIsMeant(t *testing.T) {
	b := newBench(t, "pipeline(\"shop\")\napplication(\"api\", source = local(\"api\"), env = {\"TITLE\": param(\"title\")})\n",
		"run", "--timeout", "0", "--set", "title=")
	b.run(t, statusDone)
	b.again("clone", "default", "copy", "--ttl", "0")
	b.run(t, statusDone)
}
