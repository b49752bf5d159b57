package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/interp/suite"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// A retest is the state of `pipe test --watch`.
type retest struct {
	app   *app
	cmd   *cobra.Command
	args  []string
	opts  suite.Options
	flags testFlags

	root  string                // the workspace of all files
	globs []plan.Input          // where test files can appear
	known map[string]suite.File // the results of each file, by path
	left  []watch.Change        // changes for which tests could not be run yet
}

// testAgain runs tests, and runs those of a file again when one of their inputs changes.
func (a *app) testAgain(cmd *cobra.Command, args []string, opts suite.Options, flags testFlags) error {
	flags.show.since = a.now()
	r := &retest{app: a, cmd: cmd, args: args, opts: opts, flags: flags, known: map[string]suite.File{}}
	paths, err := a.testFiles(cmd, args)
	if err != nil {
		return err
	}
	if r.root, err = suite.Workspace(paths[0]); err != nil {
		return err
	}
	if err := r.within(paths); err != nil {
		return err
	}
	r.globs = r.appearing()
	return a.onChange(cmd.Context(), r.root, r.round)
}

// within returns an error for files that are in another workspace.
func (r *retest) within(paths []string) error {
	for _, path := range paths {
		switch root, err := suite.Workspace(path); {
		case err != nil:
			return err
		case root != r.root:
			return usagef(r.cmd, "--watch takes the tests of one workspace, and %s is in %s, others are in %s: name the files of one of them",
				r.app.shown(path), root, r.root)
		}
	}
	return nil
}

// appearing returns inputs that change when a test file is created or deleted.
func (r *retest) appearing() []plan.Input {
	args := r.args
	if len(args) == 0 {
		args = []string{r.app.testFolder()}
	}
	escape := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
	var out []plan.Input
	for _, arg := range args {
		if strings.HasSuffix(arg, suite.Suffix) {
			continue // it becomes an input when it is read
		}
		dir, err := filepath.Rel(r.root, r.app.abs(arg))
		if err != nil || !filepath.IsLocal(dir) {
			dir = "." // a directory above the workspace
		}
		pattern := "**/*" + suite.Suffix
		if dir != "." {
			pattern = escape.Replace(filepath.ToSlash(dir)) + "/" + pattern
		}
		out = append(out, plan.Input{Path: pattern, Kind: plan.InputGlob})
	}
	return out
}

// round runs the tests that are new, or whose inputs have changed.
func (r *retest) round(ctx context.Context, changes []watch.Change) (reading, error) {
	a := r.app
	changes = append(r.left, changes...)
	r.left = changes
	paths, err := a.testFiles(r.cmd, r.args)
	if err == nil {
		err = r.within(paths)
	}
	if err != nil {
		return r.reading(), a.failed(r.flags.show.output, err)
	}
	maps.DeleteFunc(r.known, func(path string, _ suite.File) bool { return !slices.Contains(paths, path) })
	paths = slices.DeleteFunc(paths, func(path string) bool {
		f, ok := r.known[path]
		return ok && !affected(f, changes)
	})
	if len(paths) == 0 {
		r.left = nil
		return r.reading(), nil
	}
	files, err := a.runTests(ctx, r.cmd, paths, r.opts, r.flags, changes)
	switch {
	case ctx.Err() != nil: // the results are outdated
		return r.reading(), nil
	case err != nil:
		return r.reading(), a.failed(r.flags.show.output, err)
	}
	r.left = nil
	for i, f := range files {
		r.known[paths[i]] = f
	}
	if err := a.showTests(files, r.flags, a.stream); err != nil {
		return r.reading(), err
	}
	var all []suite.File
	for _, path := range slices.Sorted(maps.Keys(r.known)) {
		all = append(all, r.known[path])
	}
	if err := verdict(r.cmd, all, r.flags); err != nil {
		a.report(err)
	}
	return r.reading(), nil
}

// affected reports whether one of the changes affects an input of f.
func affected(f suite.File, changes []watch.Change) bool {
	return slices.ContainsFunc(changes, func(c watch.Change) bool {
		return slices.ContainsFunc(c.Inputs, func(is plan.Input) bool {
			return slices.ContainsFunc(f.Inputs, func(in plan.Input) bool { return sameInput(in, is) })
		})
	})
}

func sameInput(a, b plan.Input) bool {
	return a.Path == b.Path && a.Kind == b.Kind && slices.Equal(a.Exclude, b.Exclude)
}

// unsettled is the digest of an input that was read with different contents. No content
// has this digest, so the watcher reports a change, and the tests that have read the input
// are run again.
const unsettled plan.Digest = "unsettled"

// reading returns the inputs of all tests.
func (r *retest) reading() reading {
	read := map[string]plan.Input{}
	for _, f := range r.known {
		for _, in := range f.Inputs {
			key := fmt.Sprint(in.Kind, "\n", in.Path, "\n", in.Exclude)
			if had, ok := read[key]; ok && had.Digest != in.Digest {
				in.Digest = unsettled
			}
			read[key] = in
		}
	}
	return reading{inputs: append(slices.Clone(r.globs), slices.Collect(maps.Values(read))...)}
}
