package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/suite"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// testFlags select the tests, and control how their results are shown.
type testFlags struct {
	run    string
	update bool
	jobs   int
	junit  string
	all    bool
	again  bool
	show   showFlags
}

func (a *app) testCmd() *cobra.Command {
	var flags testFlags
	cmd := &cobra.Command{
		Use:   "test [FILE|DIR…]",
		Short: "Run the tests of pipelines that are written in their own language",
		Long: `test runs the functions test_* in files *_test.star, each in an evaluation of its own, several
at a time. A test evaluates Pipelinefiles with plan(), for environments and
with parameters, and checks the plans; it uses no network and no cluster. A directory means
every file *_test.star below it. Without arguments test uses the directory of the nearest
Pipelinefile, or the current directory. docs/howto/tests.md describes how to write tests.

The exit status is 0 if all tests pass, 1 if a test fails, 3 if a test file itself has errors.

With --watch it keeps running. When a file changes that a test file, or a Pipelinefile that its
tests evaluate, has read, the tests of that test file are run again, as are those of new test
files. Ctrl-C ends it. -o json writes one line each time, for the files whose tests were run.`,
		Example: `  pipe test
  pipe test shop_test.star --run 'production|staging' -v
  pipe test --update              # write the files that golden() compares with
  pipe test --junit tests.xml     # for CI
  pipe test --watch`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"star"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer a.hide()
			opts, err := a.suiteOptions(cmd, flags)
			switch {
			case err != nil:
				return err
			case flags.again && flags.update:
				return usagef(cmd, "--update writes what the tests read, and is not for --watch: give one of them")
			case flags.again && flags.junit != "":
				return usagef(cmd, "--junit writes a report of one run of all tests, and is not for --watch: give one of them")
			case flags.again:
				return a.testAgain(cmd, args, opts, flags)
			}
			return a.test(cmd, args, opts, flags)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&flags.run, "run", "", "only tests whose name matches this `expression`, e.g. --run staging")
	fs.BoolVar(&flags.update, "update", false, "write the files that golden() compares with, where they differ, e.g. pipe test --update")
	fs.IntVar(&flags.jobs, "jobs", 0, "run this `number` of tests at a time, e.g. --jobs 1 (default: the number of processors)")
	fs.StringVar(&flags.junit, "junit", "", "write a JUnit report to this `file`, for CI, e.g. --junit tests.xml")
	fs.BoolVarP(&flags.all, "verbose", "v", false, "show the tests that pass, too, and what they print, e.g. pipe test -v")
	addOnChange(cmd, &flags.again, "run the tests")
	flags.show.add(cmd)
	return cmd
}

// suiteOptions returns the options for running tests.
func (a *app) suiteOptions(cmd *cobra.Command, flags testFlags) (suite.Options, error) {
	opts := suite.Options{
		Jobs: flags.jobs, Update: flags.update, Eval: interp.Options{Version: version, Cache: a.moduleCache()},
	}
	if flags.jobs < 0 {
		return opts, usagef(cmd, "--jobs %d: at least one test runs at a time", flags.jobs)
	}
	var err error
	if flags.run != "" {
		if opts.Only, err = regexp.Compile(flags.run); err != nil {
			return opts, usagef(cmd, "--run %s: %w", flags.run, err)
		}
	}
	return opts, nil
}

// test runs the tests that args name.
func (a *app) test(cmd *cobra.Command, args []string, opts suite.Options, flags testFlags) error {
	paths, err := a.testFiles(cmd, args)
	if err != nil {
		return err
	}
	files, err := a.runTests(cmd.Context(), cmd, paths, opts, flags, nil)
	if err != nil {
		return err
	}
	if err := a.showTests(files, flags, a.write); err != nil {
		return err
	}
	return verdict(cmd, files, flags)
}

// runTests runs the tests of files, and shows progress and, if given, the changes that
// caused the run.
func (a *app) runTests(ctx context.Context, cmd *cobra.Command, paths []string, opts suite.Options, flags testFlags, changes []watch.Change) ([]suite.File, error) {
	view, err := a.progress(cmd, flags.show)
	if err != nil {
		return nil, err
	}
	defer a.hide()
	a.changed(changes)
	view.Doing("testing " + a.shown(paths[0]))
	ended := 0
	opts.Done = func(suite.File) {
		if ended++; ended < len(paths) {
			view.Doing("testing " + a.shown(paths[ended]))
		}
	}
	files, err := suite.Run(ctx, paths, opts)
	if err != nil || flags.junit == "" {
		return files, err
	}
	data, err := suite.JUnit(files)
	if err == nil {
		err = os.WriteFile(a.abs(flags.junit), data, 0o644)
	}
	return files, err
}

// showTests writes the results of tests with write.
func (a *app) showTests(files []suite.File, flags testFlags, write func(format string, v any, text func() error) error) error {
	tests, failed := tally(files)
	result := struct {
		Version int          `json:"version"`
		Tests   int          `json:"tests"`
		Failed  int          `json:"failed"`
		Files   []suite.File `json:"files"`
	}{1, tests, failed, files}
	return write(flags.show.output, result, func() error {
		for _, f := range files {
			if err := suite.Write(a.stdout, f, flags.all); err != nil {
				return err
			}
		}
		return nil
	})
}

// tally counts the tests and the failed ones.
func tally(files []suite.File) (tests, failed int) {
	for _, f := range files {
		tests += len(f.Tests)
		failed += f.Failed()
	}
	return tests, failed
}

// verdict returns an error unless all tests have passed.
func verdict(cmd *cobra.Command, files []suite.File, flags testFlags) error {
	tests, failed := tally(files)
	var wrong interp.Error
	for _, f := range files {
		wrong.Diagnostics = append(wrong.Diagnostics, f.Wrong...)
	}
	switch {
	case len(wrong.Diagnostics) > 0:
		return &wrong
	case failed > 0:
		return fmt.Errorf("%d of %d tests failed", failed, tests)
	case tests == 0 && flags.run != "":
		return usagef(cmd, "no test matches --run %s", flags.run)
	case tests == 0:
		return usagef(cmd, "there is no function test_*() in %s", strings.Join(names(files), ", "))
	}
	return nil
}

func names(files []suite.File) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.Name)
	}
	return out
}

// testFolder returns the directory whose tests are run by default: that of the nearest
// Pipelinefile, or the current one.
func (a *app) testFolder() string {
	if file, ok := a.nearest(); ok {
		return filepath.Dir(file)
	}
	return "."
}

// testFiles returns the test files that args name.
func (a *app) testFiles(cmd *cobra.Command, args []string) ([]string, error) {
	if len(args) == 0 {
		args = []string{a.testFolder()}
	}
	for _, arg := range args {
		info, err := os.Stat(a.abs(arg))
		if err == nil && !info.IsDir() && !strings.HasSuffix(arg, suite.Suffix) {
			return nil, usagef(cmd, "%s is not a file of tests: their names end with %s", arg, suite.Suffix)
		}
	}
	files, err := a.starlarkFiles(cmd, args)
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f string) bool { return !strings.HasSuffix(f, suite.Suffix) })
	if len(files) == 0 {
		return nil, usagef(cmd, "there is no file *%s in %s; write one, with a function test_…() that looks at plan(): pipe doc plan",
			suite.Suffix, strings.Join(args, ", "))
	}
	return files, nil
}
