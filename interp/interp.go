// Package interp evaluates a Pipelinefile into a plan.
//
// It is safe on a stranger's file, with [Options].Root set: evaluation reads
// that folder and nothing else, has no clock, network or process (L1, L2), and
// ends within [Limits] (L4). There is no global state: any number of evaluations
// can go on at once, each ended by its context (G1).
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
	// Environment is what the plan is for; default: the environment "default".
	// Of one that there is already it is runtime.Environment.Ref, which also
	// knows of what it is a clone, and the branch of a preview.
	Environment plan.EnvironmentRef
	// Params are the values of param(), by name, as text: "3" or "true".
	// Of an environment that there is already, see runtime.Environment.Params.
	Params map[string]string
	// StandIns gives a parameter without a value one that is made up: for
	// editors, which look at plans that nobody carries out.
	StandIns bool
	// Root is the workspace: no file outside of it is read (L2). Set it for a
	// file that you do not trust. Default: what [Workspace] returns, which is
	// the git repository around the file, with all that others have in it.
	Root string
	// Overlay has the texts of modules that differ from the disk, as in an
	// editor, by slash-separated path below the workspace.
	Overlay map[string][]byte
	// Limits bound the evaluation (L4). They do not bound its time: for that
	// use the context.
	Limits Limits
	// Version is that of pipe, such as "v0.3.1", for require_version(). Empty,
	// as of a build under development, it satisfies all.
	Version string
	// Builtins are functions of the host program, besides the standard ones and
	// in place of those of their names.
	Builtins []*builtins.Func
	// Modules are libraries of the host program: load("@name//path.star", …)
	// reads path.star of the file system with that name. "std" is there already.
	Modules map[string]fs.FS
	// Cache has the remote modules, as modules.Cache returns it; nil: there are none.
	Cache fs.FS
	// Trees keep the digests of directories of the workspace between evaluations;
	// nil: each evaluation reads them. Who sets it must tell Trees of every change.
	Trees *Trees
	// Print is called with each print() of the Pipelinefile, from the goroutine
	// of Eval (L5); nil: they are discarded. It gets the first thousand, and 1 MiB of
	// text, and then how many were left out.
	Print func(pos plan.Pos, message string)
}

// Limits bound an evaluation (L4). A zero field means its default.
type Limits struct {
	// Steps is how many steps evaluation takes at most, of all modules together.
	// A step is an instruction, or the making of about a byte, so that this
	// bounds memory, too. Default: [DefaultSteps].
	Steps uint64
	// Size is how large any one string, list or file may be, in bytes; a module
	// has at most 4 MiB. Default: [DefaultSize].
	Size int
}

// The default limits (L4): 100 million steps, which take some seconds, and 64 MiB.
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
	var p *plan.Plan
	err := evaluate(ctx, file, opts, func(e *evaluation) error {
		var err error
		p, err = e.run()
		return err
	})
	return p, err
}

// Run evaluates a part of a Pipelinefile as [Eval] does: what it declares is checked
// call by call, but need not come to a plan. It is for tools that take a file input by input.
func Run(ctx context.Context, file string, opts Options) error {
	return evaluate(ctx, file, opts, (*evaluation).only)
}

// evaluate calls run with an evaluation of the file.
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

// notFound is the error of a Pipelinefile that is not there.
func notFound(name, where string) *Error {
	return &Error{
		Diagnostics: []plan.Diagnostic{{
			Severity: plan.SeverityError, Pos: plan.Pos{File: name}, Message: "there is no such file: looked for " + where,
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
