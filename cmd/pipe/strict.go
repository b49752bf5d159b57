package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Errors for values that are probably unintended: from an unset shell variable,
// or from arithmetic in a script.
var (
	errEmpty    = errors.New("empty value; give a value or omit it")
	errNegative = errors.New("must not be negative")
	errZero     = errors.New("must be greater than 0")
)

// zeroMeans is the annotation of a flag for which 0 has a meaning.
const zeroMeans = "pipe_zero_means"

// zeroIsMeant allows the value 0 for a flag; its help says what 0 means.
func zeroIsMeant(cmd *cobra.Command, flag string) {
	// It fails only for an undefined flag.
	_ = cmd.Flags().SetAnnotation(flag, zeroMeans, nil)
}

// strictly makes every flag of c and its subcommands reject such values, on the
// command line and in its variable (C1).
func strictly(c *cobra.Command) {
	for _, fs := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				return
			}
			_, zero := f.Annotations[zeroMeans]
			f.Value = strictValue{f.Value, zero}
			if f.DefValue == "[]" || f.DefValue == "0s" { // nothing that help would have to show
				f.DefValue = ""
			}
		})
	}
	for _, sub := range c.Commands() {
		strictly(sub)
	}
}

// A strictValue is a flag value that rejects unintended values.
type strictValue struct {
	pflag.Value
	zero bool // 0 is allowed
}

func (v strictValue) Set(text string) error {
	if strings.TrimSpace(text) == "" {
		return errEmpty
	}
	if err := v.Value.Set(text); err != nil {
		return err
	}
	if list, ok := v.Value.(pflag.SliceValue); ok {
		if slices.ContainsFunc(list.GetSlice(), func(e string) bool { return strings.TrimSpace(e) == "" }) {
			return errEmpty
		}
		return nil
	}
	n, isNumber := v.number()
	switch {
	case !isNumber, n > 0, n == 0 && v.zero:
		return nil
	case n < 0:
		return errNegative
	}
	return errZero
}

// number returns the value of a flag that is a number or a time.
func (v strictValue) number() (int64, bool) {
	switch v.Type() {
	case "int":
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return n, err == nil
	case "duration":
		d, err := time.ParseDuration(v.String())
		return int64(d), err == nil
	}
	return 0, false
}

// noEmptyArguments refuses an empty argument, which would be taken as one that is
// left out. What follows "--" belongs to another program.
func noEmptyArguments(cmd *cobra.Command, args []string) error {
	if cmd.DisableFlagParsing {
		return nil
	}
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		args = args[:n]
	}
	for i, arg := range args {
		if strings.TrimSpace(arg) == "" {
			return usagef(cmd, "argument %d is empty; is it a variable that is not set?", i+1)
		}
	}
	return nil
}
