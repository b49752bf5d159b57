package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/suite"
)

// testFlags say which tests are run, and what becomes of what they say.
type testFlags struct {
	run    string
	update bool
	jobs   int
	junit  string
	all    bool
	show   showFlags
}

func (a *app) testCmd() *cobra.Command {
	var flags testFlags
	cmd := &cobra.Command{
		Use:   "test [FILE|FOLDER…]",
		Short: "Run the tests of pipelines that are written in their own language",
		Long: `test runs the tests in files *_test.star: their functions test_*, each in an evaluation of its
own, several at a time. A test evaluates Pipelinefiles with plan(), for environments and
with parameters, and looks at the plans; it asks no network and no cluster. A folder stands for
every file *_test.star below it. Without arguments it is the folder of the nearest
Pipelinefile, or this one. docs/howto/tests.md tells how tests are written.

The exit status is 0 if all tests hold, 1 if one does not, 3 if a file of tests is wrong itself.`,
		Example: `  pipe test
  pipe test shop_test.star --run 'production|staging' -v
  pipe test --update              # write the files that golden() compares with
  pipe test --junit tests.xml     # for CI`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"star"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer a.hide()
			return a.test(cmd, args, flags)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&flags.run, "run", "", "only tests whose name matches this `expression`, e.g. --run staging")
	fs.BoolVar(&flags.update, "update", false, "write the files that golden() compares with, where they differ, e.g. pipe test --update")
	fs.IntVar(&flags.jobs, "jobs", 0, "run this `number` of tests at a time, e.g. --jobs 1 (default: the number of processors)")
	fs.StringVar(&flags.junit, "junit", "", "write a report in JUnit's form to this `file`, for CI, e.g. --junit tests.xml")
	fs.BoolVarP(&flags.all, "verbose", "v", false, "show the tests that hold, too, and what they print, e.g. pipe test -v")
	flags.show.add(cmd)
	return cmd
}

// test runs the tests that args name.
func (a *app) test(cmd *cobra.Command, args []string, flags testFlags) error {
	opts := suite.Options{
		Jobs: flags.jobs, Update: flags.update, Eval: interp.Options{Version: version, Cache: a.moduleCache()},
	}
	if flags.jobs < 0 {
		return usagef(cmd, "--jobs %d: at least one test runs at a time", flags.jobs)
	}
	var err error
	if flags.run != "" {
		if opts.Only, err = regexp.Compile(flags.run); err != nil {
			return usagef(cmd, "--run %s: %w", flags.run, err)
		}
	}
	paths, err := a.testFiles(cmd, args)
	if err != nil {
		return err
	}
	view, err := a.progress(cmd, flags.show)
	if err != nil {
		return err
	}
	view.Doing("testing " + a.shown(paths[0]))
	ended := 0
	opts.Done = func(suite.File) {
		if ended++; ended < len(paths) {
			view.Doing("testing " + a.shown(paths[ended]))
		}
	}
	files, err := suite.Run(cmd.Context(), paths, opts)
	if err != nil {
		return err
	}
	a.hide()
	if flags.junit != "" {
		data, err := suite.JUnit(files)
		if err == nil {
			err = os.WriteFile(a.abs(flags.junit), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return a.tested(cmd, files, flags)
}

// tested shows what came of tests, and returns whether they failed.
func (a *app) tested(cmd *cobra.Command, files []suite.File, flags testFlags) error {
	tests, failed := 0, 0
	var wrong interp.Error
	for _, f := range files {
		tests += len(f.Tests)
		failed += f.Failed()
		wrong.Diagnostics = append(wrong.Diagnostics, f.Wrong...)
	}
	result := struct {
		Version int          `json:"version"`
		Tests   int          `json:"tests"`
		Failed  int          `json:"failed"`
		Files   []suite.File `json:"files"`
	}{1, tests, failed, files}
	err := a.write(flags.show.output, result, func() error {
		for _, f := range files {
			if err := suite.Write(a.stdout, f, flags.all); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
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

// testFiles are the files of tests that args name.
func (a *app) testFiles(cmd *cobra.Command, args []string) ([]string, error) {
	if len(args) == 0 {
		args = []string{"."}
		if file, ok := a.nearest(); ok {
			args[0] = filepath.Dir(file)
		}
	}
	for _, arg := range args {
		info, err := os.Stat(a.abs(arg))
		if err == nil && !info.IsDir() && !strings.HasSuffix(arg, builtins.TestSuffix) {
			return nil, usagef(cmd, "%s is no file of tests: their names end with %s", arg, builtins.TestSuffix)
		}
	}
	files, err := a.starlarkFiles(cmd, args)
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f string) bool { return !strings.HasSuffix(f, builtins.TestSuffix) })
	if len(files) == 0 {
		return nil, usagef(cmd, "there is no file *%s in %s; write one, with a function test_…() that looks at plan(): pipe doc plan",
			builtins.TestSuffix, strings.Join(args, ", "))
	}
	return files, nil
}
