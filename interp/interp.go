// Package interp evaluates a Pipelinefile into a plan.
//
// With [Options].Root set, it is safe on untrusted files: evaluation reads only that
// directory, has no clock, network or processes (L1, L2), and terminates within [Limits]
// (L4). There is no global state: any number of evaluations can run concurrently, and
// each ends with its context (G1).
package interp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/plan"
)

// Options configure an evaluation. The zero value evaluates for the environment "default"
// with the default limits.
type Options struct {
	// Environment is the environment that the plan is for; default: the environment
	// "default". For an existing environment use runtime.Environment.Ref, which also has
	// the environment it was cloned from and the branch of a preview.
	Environment plan.EnvironmentRef
	// Params are the values of param(), by name, as strings: "3" or "true". For an
	// existing environment see runtime.Environment.Params.
	Params map[string]string
	// StandIns makes up values for parameters that have none. It is for plans that are
	// never deployed: those that editors show, and those that only name an environment.
	StandIns bool
	// Root is the workspace: no file outside of it is read (L2). Set it for files that
	// you do not trust. Default: what [Workspace] returns, which is the git repository
	// that contains the file, with everything in it.
	Root string
	// Overlay has the contents of modules that differ from the disk, as in an editor, by
	// slash-separated path below the workspace.
	Overlay map[string][]byte
	// Limits bound the evaluation (L4). They do not bound its time: use the context for
	// that.
	Limits Limits
	// Version is the version of pipe, such as "v0.3.1", for require_version(). Empty, as
	// in a development build, it satisfies every requirement.
	Version string
	// Builtins are functions of the host program, in addition to the standard ones. They
	// replace standard functions of the same name.
	Builtins []*builtins.Func
	// Modules are libraries of the host program: load("@name//path.star", …) reads
	// path.star from the file system of that name. "std" is always available.
	Modules map[string]fs.FS
	// Cache has the remote modules, as modules.Cache returns it; nil: there are none.
	Cache fs.FS
	// Trees keep the digests of directories of the workspace between evaluations; nil:
	// each evaluation reads them. If you set it, report every change to Trees.Changed.
	Trees *Trees
	// Print is called for each print() of the Pipelinefile, from the goroutine of Eval
	// (L5); nil: the output is discarded. It gets the first thousand calls, up to 1 MiB
	// in total, and then one message that says how many were left out.
	Print func(pos plan.Pos, message string)
}

// Limits bound an evaluation (L4). A zero field means its default.
type Limits struct {
	// Steps is the maximum number of steps of all modules together. A step is an
	// instruction, or the allocation of about a byte, so it bounds memory as well.
	// Default: [DefaultSteps].
	Steps uint64
	// Size is the maximum size of any one string, list or file, in bytes. A module has at
	// most 4 MiB. Default: [DefaultSize].
	Size int
}

// The default limits (L4): 100 million steps, which take some seconds, and 64 MiB.
const (
	DefaultSteps = 100_000_000
	DefaultSize  = 64 << 20
)

// Workspace returns the directory that an evaluation of file may read: the enclosing git
// root, or the directory of the file (L2). It does not check whether the file exists.
func Workspace(file string) (string, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("workspace of %s: %w", file, err)
	}
	own := filepath.Dir(abs)
	for dir := own; ; {
		// In a worktree and a submodule .git is a file.
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

// Eval evaluates the file and returns its plan. An error in the Pipelinefile is an
// *Error. If ctx ends first, the error is its cause.
//
// Evaluation is hermetic (L1): it reads only files of the workspace, and the same files
// and options give the same plan. Eval may be called concurrently.
func Eval(ctx context.Context, file string, opts Options) (*plan.Plan, error) {
	var p *plan.Plan
	err := evaluate(ctx, file, opts, func(e *evaluation) error {
		var err error
		p, err = e.run()
		return err
	})
	return p, err
}

// Run evaluates part of a Pipelinefile as [Eval] does, without producing a plan: its
// declarations are checked call by call. It is for tools that evaluate a file input by
// input.
func Run(ctx context.Context, file string, opts Options) error {
	return evaluate(ctx, file, opts, (*evaluation).only)
}

// evaluate evaluates the file with run.
func evaluate(ctx context.Context, file string, opts Options, run func(*evaluation) error) error {
	root, name, err := locate(file, opts.Root)
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound(filepath.Base(file), filepath.Join(root, filepath.FromSlash(name)))
	}
	if err != nil {
		return fmt.Errorf("evaluate %s: %w", file, err)
	}
	defer func() { _ = dir.Close() }() // nothing was written
	e := newEvaluation(ctx, dir, name, opts)
	err = run(e)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("evaluate %s: %w", name, context.Cause(ctx))
	}
	var wrong *Error
	if errors.As(err, &wrong) && !e.found() {
		missing := notFound(name, filepath.Join(root, filepath.FromSlash(name)))
		missing.Inputs = wrong.Inputs
		return missing
	}
	return err
}

// notFound is the error of a Pipelinefile that does not exist.
func notFound(name, where string) *Error {
	return &Error{
		Diagnostics: []plan.Diagnostic{{
			Severity: plan.SeverityError, Pos: plan.Pos{File: name}, Message: "there is no such file: looked for " + where,
			Hint: "give the path of a Pipelinefile, or go to the directory that has one",
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
	if rel := paths.Below(root, abs); rel != "" {
		return root, rel, nil
	}
	// The two may be the same directory under two names.
	realRoot, err1 := filepath.EvalSymlinks(root)
	realDir, err2 := filepath.EvalSymlinks(filepath.Dir(abs))
	if err1 == nil && err2 == nil {
		if rel := paths.Below(realRoot, filepath.Join(realDir, filepath.Base(abs))); rel != "" {
			return realRoot, rel, nil
		}
	}
	return "", "", fmt.Errorf("evaluate %s: it is not in the workspace %s", file, root)
}
