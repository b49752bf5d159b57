// Package interp evaluates a Pipelinefile into a plan.
package interp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// Options adjust an evaluation. The zero value evaluates for the environment
// "default" with the default limits.
type Options struct {
	Environment plan.EnvironmentRef
	Params      map[string]string // values of param(), by name
	StandIns    bool              // a parameter without a value gets one made up, where an editor looks and nobody runs
	Overlay     map[string][]byte // texts of modules that differ from the disk, by path below the workspace
	Limits      Limits
	Version     string                             // of pipe, for require_version(); empty: under development, accepts all
	Root        string                             // the workspace; default: see [Workspace]
	Builtins    []*builtins.Func                   // added to the standard ones
	Modules     map[string]fs.FS                   // load("@name//path.star", …)
	Cache       fs.FS                              // remote modules, as package modules fetched them; nil: there are none
	Print       func(pos plan.Pos, message string) // nil: discarded
}

// Limits bound an evaluation (L4). A zero field means its default.
type Limits struct {
	Steps uint64 // default 100 million
	Size  int    // of any one string or list, in bytes; default 64 MiB
}

// The default limits (L4).
const (
	DefaultSteps = 100_000_000
	DefaultSize  = 64 << 20
)

// Workspace returns the folder that an evaluation of file may read: the
// enclosing git root, or the file's own folder (L2). It does not say whether
// the file exists.
func Workspace(file string) (string, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("workspace of %s: %w", file, err)
	}
	own := filepath.Dir(abs)
	for dir := own; ; {
		// A worktree and a submodule have a file there.
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return own, nil
		}
		dir = up
	}
}

// Eval evaluates the file and returns its plan. The error, if it comes from
// the Pipelinefile, is an *Error; if ctx ends first, it is the cause of that.
//
// Evaluation is hermetic (L1): it reads files of the workspace and nothing
// else, and the same files and options give the same plan. Eval can be called
// from any number of goroutines at once.
func Eval(ctx context.Context, file string, opts Options) (*plan.Plan, error) {
	root, name, err := locate(file, opts.Root)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(filepath.Base(file), filepath.Join(root, filepath.FromSlash(name)))
	}
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", file, err)
	}
	defer func() { _ = dir.Close() }() // nothing was written
	e := newEvaluation(ctx, dir, name, opts)
	p, err := e.run()
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("evaluate %s: %w", name, context.Cause(ctx))
	}
	var wrong *Error
	if errors.As(err, &wrong) && !e.found() {
		missing := notFound(name, filepath.Join(root, filepath.FromSlash(name)))
		missing.Inputs = wrong.Inputs
		return nil, missing
	}
	return p, err
}

// notFound is the error of a Pipelinefile that is not there.
func notFound(name, where string) *Error {
	return &Error{
		Diagnostics: []plan.Diagnostic{{
			Severity: plan.Error, Pos: plan.Pos{File: name}, Message: "there is no such file: looked for " + where,
			Hint: "give the path of a Pipelinefile, or go to the folder that has one",
		}},
		Inputs: []plan.Input{{Path: name, Kind: plan.InputModule}},
		err:    fs.ErrNotExist,
	}
}

// locate returns the workspace and the slash-separated path of file below it.
func locate(file, root string) (dir, name string, err error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", "", fmt.Errorf("evaluate %s: %w", file, err)
	}
	if root == "" {
		root, err = Workspace(abs)
	} else {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return "", "", fmt.Errorf("evaluate %s: %w", file, err)
	}
	if rel, ok := below(root, abs); ok {
		return root, rel, nil
	}
	// The two may be one place under two names.
	realRoot, err1 := filepath.EvalSymlinks(root)
	realDir, err2 := filepath.EvalSymlinks(filepath.Dir(abs))
	if err1 == nil && err2 == nil {
		if rel, ok := below(realRoot, filepath.Join(realDir, filepath.Base(abs))); ok {
			return realRoot, rel, nil
		}
	}
	return "", "", fmt.Errorf("evaluate %s: it is not in the workspace %s", file, root)
}

func below(root, file string) (string, bool) {
	rel, err := filepath.Rel(root, file)
	if err != nil || !filepath.IsLocal(rel) || strings.HasPrefix(rel, "..") {
		return "", false
	}
	return filepath.ToSlash(rel), true
}
