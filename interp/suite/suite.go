// Package suite runs the tests of pipelines that are written in the pipeline
// language: the functions test_* of files *_test.star.
package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// Suffix is the suffix of the names of test files.
const Suffix = builtins.TestSuffix

// Options adjust how tests run. The zero value runs all tests, as many
// concurrently as there are processors.
type Options struct {
	Only   *regexp.Regexp // matched against test names; nil: all
	Jobs   int            // concurrent tests; default: the number of processors
	Update bool           // update the golden files that differ
	// Eval holds the options for evaluating files. Its Environment, Params and
	// Print are not used. If its Root is empty, each file gets the result of
	// [Workspace].
	Eval interp.Options
	// Done is called for each file when all its tests have ended, in the order
	// of files, from one goroutine; may be nil.
	Done func(File)
}

// A File is the result of the tests of one file.
type File struct {
	Name    string            `json:"file"`            // slash-separated, below the workspace
	Wrong   []plan.Diagnostic `json:"wrong,omitempty"` // why its tests were not run, such as a parse error
	Tests   []Test            `json:"tests"`           // in source order
	Seconds float64           `json:"seconds"`         // total of all its tests

	// Inputs are the files that the file and its tests read, relative to the
	// workspace: if one of them changes, the tests may have another result. A
	// file that was read several times with different contents appears once for
	// each.
	Inputs []plan.Input `json:"-"`
}

// Failed returns the number of failed tests.
func (f File) Failed() int {
	n := 0
	for _, t := range f.Tests {
		if len(t.Failures) > 0 {
			n++
		}
	}
	return n
}

// A Test is the result of one test.
type Test struct {
	Name     string    `json:"name"`
	Pos      plan.Pos  `json:"pos"`
	Failures []Failure `json:"failures,omitempty"` // none: it passed
	Printed  []Line    `json:"printed,omitempty"`
	Updated  []string  `json:"updated,omitempty"` // golden files that were written
	Seconds  float64   `json:"seconds"`

	tested interp.Tested
}

// A Failure is one reason why a test failed.
type Failure struct {
	plan.Diagnostic
	Diff string `json:"diff,omitempty"` // of a golden file that differs
}

// A Line is a line that a test, or a Pipelinefile that it evaluates, has printed.
type Line struct {
	Pos  plan.Pos `json:"pos"`
	Text string   `json:"text"`
}

// maxPrinted limits how many printed lines of a test are kept.
const maxPrinted = 1000

// A job is a test to run.
type job struct {
	file *file
	test *Test
}

// A file is a file whose tests are run.
type file struct {
	path string // on disk
	opts interp.Options
	out  File
	left sync.WaitGroup  // tests
	had  map[string]bool // inputs
}

// Run runs the tests of files, isolated from each other. It returns an error
// only if files cannot be read or written, or if ctx is done, with its cause;
// failed tests are not an error.
func Run(ctx context.Context, paths []string, opts Options) ([]File, error) {
	var files []*file
	var jobs []job
	for _, path := range paths {
		f, err := open(ctx, path, opts)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		for i := range f.out.Tests {
			jobs = append(jobs, job{f, &f.out.Tests[i]})
		}
	}
	queue := make(chan job)
	var workers sync.WaitGroup
	n := opts.Jobs
	if n < 1 {
		n = runtime.NumCPU()
	}
	for range min(n, len(jobs)) {
		workers.Go(func() {
			for j := range queue {
				if ctx.Err() == nil {
					j.run(ctx)
				}
				j.file.left.Done()
			}
		})
	}
	workers.Go(func() {
		for _, j := range jobs {
			queue <- j
		}
		close(queue)
	})
	out, err := gather(ctx, files, opts)
	workers.Wait()
	return out, err
}

// gather waits for the files, in order.
func gather(ctx context.Context, files []*file, opts Options) (out []File, err error) {
	for _, f := range files {
		f.left.Wait()
		switch {
		case err != nil: // wait for the others
			continue
		case ctx.Err() != nil:
			err = context.Cause(ctx)
			continue
		}
		if opts.Update {
			if err = f.update(); err != nil {
				continue
			}
		}
		for i := range f.out.Tests {
			t := &f.out.Tests[i]
			for _, g := range t.tested.Goldens {
				t.Failures = append(t.Failures, differs(g))
			}
			f.read(t.tested.Inputs)
			f.out.Seconds += t.Seconds
		}
		out = append(out, f.out)
		if opts.Done != nil {
			opts.Done(f.out)
		}
	}
	return out, err
}

// open reads the tests of a file.
func open(ctx context.Context, path string, opts Options) (*file, error) {
	f := &file{path: path, opts: opts.Eval, had: map[string]bool{}}
	f.opts.Environment, f.opts.Params, f.opts.Print = plan.EnvironmentRef{}, nil, nil
	var err error
	if f.opts.Root == "" {
		if f.opts.Root, err = Workspace(path); err != nil {
			return nil, err
		}
	}
	name, err := below(f.opts.Root, path)
	if err != nil {
		return nil, err
	}
	f.out.Name, f.out.Tests = name, []Test{}
	text, err := interp.ReadSource(path)
	if err != nil {
		return nil, err
	}
	f.read([]plan.Input{{Path: name, Kind: plan.InputModule, Digest: plan.DigestOf(text)}})
	tree, wrong := interp.Check(ctx, f.out.Name, text, f.opts)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(wrong) > 0 {
		f.out.Wrong = wrong
		return f, nil
	}
	all := interp.Tests(f.out.Name, tree)
	if f.out.Wrong = again(all, string(text)); len(f.out.Wrong) > 0 {
		return f, nil
	}
	for _, t := range all {
		if opts.Only == nil || opts.Only.MatchString(t.Name) {
			f.out.Tests = append(f.out.Tests, Test{Name: t.Name, Pos: t.Pos})
		}
	}
	if err := f.load(ctx); err != nil || len(f.out.Wrong) > 0 {
		f.out.Tests = []Test{}
		return f, err
	}
	f.left.Add(len(f.out.Tests))
	return f, nil
}

// load evaluates the file without running a test, so that an error in it is
// reported once and not for each test.
func (f *file) load(ctx context.Context) error {
	if len(f.out.Tests) == 0 {
		return nil
	}
	tested, err := interp.Test(ctx, f.path, "", f.opts)
	f.read(tested.Inputs)
	var wrong *interp.Error
	if errors.As(err, &wrong) {
		f.out.Wrong = wrong.Diagnostics
		return nil
	}
	return err
}

// read adds inputs to those of the file.
func (f *file) read(inputs []plan.Input) {
	for _, in := range inputs {
		key := strings.Join(append([]string{in.Path, string(in.Kind), string(in.Digest)}, in.Exclude...), "\n")
		if !f.had[key] {
			f.had[key] = true
			f.out.Inputs = append(f.out.Inputs, in)
		}
	}
}

// again returns errors for tests with the name of an earlier test, which would not run.
func again(tests []interp.TestFunc, text string) (wrong []plan.Diagnostic) {
	source := lines(text)
	earlier := map[string]plan.Pos{}
	for _, t := range tests {
		first, ok := earlier[t.Name]
		if !ok {
			earlier[t.Name] = t.Pos
			continue
		}
		wrong = append(wrong, plan.Diagnostic{
			Severity: plan.SeverityError, Pos: t.Pos, Line: strings.TrimRight(source[t.Pos.Line-1], "\r\n"),
			Message: "test " + t.Name + " is already defined and would be replaced",
			Related: []plan.Related{{Pos: first, Message: "declared here", Line: strings.TrimRight(source[first.Line-1], "\r\n")}},
		})
	}
	return wrong
}

// Workspace returns the directory that a test file may read: the enclosing git
// root, otherwise the nearest directory with a Pipelinefile, otherwise its own.
func Workspace(path string) (string, error) {
	root, err := interp.Workspace(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(filepath.Join(root, ".git")); err == nil {
		return root, nil
	}
	for dir := root; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(filepath.Join(dir, "Pipelinefile")); err == nil && info.Mode().IsRegular() {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return root, nil
		}
	}
}

// below returns the slash-separated path of a file relative to root.
func below(root, path string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	name := paths.Below(root, path)
	if name == "" {
		return "", fmt.Errorf("%s is not in the workspace %s", path, root)
	}
	return name, nil
}

// run runs one test.
func (j job) run(ctx context.Context) {
	t, opts := j.test, j.file.opts
	opts.Print = func(pos plan.Pos, text string) {
		switch n := len(t.Printed); {
		case n < maxPrinted:
			t.Printed = append(t.Printed, Line{pos, text})
		case n == maxPrinted:
			t.Printed = append(t.Printed, Line{pos, "further output is omitted"})
		}
	}
	start := time.Now()
	tested, err := interp.Test(ctx, j.file.path, t.Name, opts)
	t.Seconds, t.tested = time.Since(start).Seconds(), tested
	var wrong *interp.Error
	switch {
	case errors.As(err, &wrong):
		for _, d := range wrong.Diagnostics {
			t.Failures = append(t.Failures, Failure{Diagnostic: d})
		}
	case err != nil:
		t.Failures = append(t.Failures, Failure{Diagnostic: plan.Diagnostic{Severity: plan.SeverityError, Pos: t.Pos, Message: err.Error()}})
	}
}
