package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/interp/lint/dockerfile"
	"github.com/pipelinefile/pipe/interp/suite"
	"github.com/pipelinefile/pipe/plan"
)

// A linted is a file with the files it loads.
type linted struct {
	file  string
	alone bool // only its source is checked: it is a module or a test file
	opts  interp.Options
	plan  *plan.Plan // set by texts; empty if alone
}

func newLinted(file string, alone bool, opts interp.Options) (*linted, error) {
	root, err := interp.Workspace(file)
	opts.Root = root
	return &linted{file: file, alone: alone || strings.HasSuffix(file, suite.Suffix), opts: opts}, err
}

// lintFolder checks each Pipelinefile of a directory with the files it loads,
// and the source of each module that none of them loads. Paths are relative to
// the directory of the command, because each Pipelinefile may have its own
// workspace.
func (a *app) lintFolder(cmd *cobra.Command, dir string, opts interp.Options, fix bool) ([]lint.Finding, error) {
	files, err := a.starlarkFiles(cmd, []string{dir})
	if err != nil {
		return nil, err
	}
	isModule := func(file string) bool { return strings.HasSuffix(file, ".star") }
	modules := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !isModule(f) })
	type place struct {
		rule, message string
		pos           plan.Pos
	}
	out, seen, reported := []lint.Finding{}, map[string]bool{}, map[place]bool{}
	for _, file := range append(slices.DeleteFunc(files, isModule), modules...) {
		if seen[file] {
			continue
		}
		l, err := newLinted(file, isModule(file), opts)
		if err != nil {
			return nil, err
		}
		found, err := l.findings(cmd.Context(), fix)
		if err != nil {
			return nil, err
		}
		for _, in := range l.plan.Inputs {
			seen[filepath.Join(l.opts.Root, filepath.FromSlash(in.Path))] = true
		}
		for _, f := range found {
			f.Pos.File = a.shown(filepath.Join(l.opts.Root, filepath.FromSlash(f.Pos.File)))
			for i := range f.Related {
				f.Related[i].Pos.File = a.shown(filepath.Join(l.opts.Root, filepath.FromSlash(f.Related[i].Pos.File)))
			}
			if at := (place{f.Rule, f.Message, f.Pos}); !reported[at] { // a module loaded by two Pipelinefiles is checked twice
				out, reported[at] = append(out, f), true
			}
		}
	}
	lint.Sort(out)
	return out, nil
}

// findings returns the findings; if fix is set, it first applies fixes.
func (l *linted) findings(ctx context.Context, fix bool) ([]lint.Finding, error) {
	if fix {
		if err := l.fix(ctx); err != nil {
			return nil, err
		}
	}
	out := []lint.Finding{}
	err := l.texts(ctx, func(_ string, _ []byte, found []lint.Finding) error {
		out = append(out, found...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	docker, err := dockerfile.Builds(ctx, l.plan, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(l.opts.Root, filepath.FromSlash(name)))
	})
	if err != nil {
		return nil, err
	}
	out = append(out, docker...)
	lint.Sort(out)
	return out, nil
}

// fix applies fixes.
func (l *linted) fix(ctx context.Context) error {
	return l.texts(ctx, func(path string, src []byte, found []lint.Finding) error {
		fixed, n := lint.Fix(src, found)
		if n == 0 {
			return nil
		}
		return replaceFile(path, fixed)
	})
}

// texts calls f for the file and each module of the workspace that it loads,
// with the findings of its source and of the plan that are not silenced.
func (l *linted) texts(ctx context.Context, f func(path string, src []byte, found []lint.Finding) error) error {
	name, err := filepath.Rel(l.opts.Root, l.file)
	if err != nil {
		return err
	}
	l.plan = &plan.Plan{Inputs: []plan.Input{{Path: filepath.ToSlash(name), Kind: plan.InputModule}}}
	if !l.alone {
		if l.plan, err = interp.Eval(ctx, l.file, l.opts); err != nil {
			return err
		}
	}
	ofPlan := lint.Plan(l.plan)
	for _, in := range l.plan.Inputs {
		if in.Kind != plan.InputModule {
			continue
		}
		path, kind := filepath.Join(l.opts.Root, filepath.FromSlash(in.Path)), lint.Module
		if path == l.file && !l.alone {
			kind = lint.Pipelinefile
		}
		src, err := interp.ReadSource(path)
		if err != nil {
			return err
		}
		found, err := lint.Source(ctx, in.Path, kind, src, l.opts)
		if err != nil {
			return err
		}
		line := lint.Lines(src)
		for _, of := range ofPlan {
			if of.Pos.File == in.Path {
				of.Line = line(of.Pos.Line)
				found = append(found, of)
			}
		}
		if err := f(path, src, lint.Silence(in.Path, src, found, !l.alone)); err != nil {
			return err
		}
	}
	return nil
}
