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

// A linted is a file with all that it is made of.
type linted struct {
	file  string
	alone bool // its text is looked at and nothing else: it is a module, or of tests
	opts  interp.Options
	plan  *plan.Plan // set by texts; of a file that is looked at alone empty
}

func newLinted(file string, alone bool, opts interp.Options) (*linted, error) {
	root, err := interp.Workspace(file)
	opts.Root = root
	return &linted{file: file, alone: alone || strings.HasSuffix(file, suite.Suffix), opts: opts}, err
}

// lintFolder looks at each Pipelinefile of a folder with what it is made of, and
// at the text of each module that none of them loads. Files are named as from the
// folder of the command: each Pipelinefile may have a workspace of its own.
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
	out, seen, told := []lint.Finding{}, map[string]bool{}, map[place]bool{}
	for _, file := range append(slices.DeleteFunc(files, isModule), modules...) {
		if seen[file] {
			continue
		}
		l, err := newLinted(file, isModule(file), opts)
		if err != nil {
			return nil, err
		}
		found, err := l.look(cmd.Context(), fix)
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
			if at := (place{f.Rule, f.Message, f.Pos}); !told[at] { // what two Pipelinefiles load is looked at twice
				out, told[at] = append(out, f), true
			}
		}
	}
	lint.Sort(out)
	return out, nil
}

// look returns what is found, and corrects first what can be corrected if fix is set.
func (l *linted) look(ctx context.Context, fix bool) ([]lint.Finding, error) {
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

// fix corrects what can be corrected.
func (l *linted) fix(ctx context.Context) error {
	return l.texts(ctx, func(path string, src []byte, found []lint.Finding) error {
		fixed, n := lint.Fix(src, found)
		if n == 0 {
			return nil
		}
		return replaceFile(path, fixed)
	})
}

// texts calls f for the file and each module of the workspace that it loads, with
// what its text and the plan show and nobody silences.
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
