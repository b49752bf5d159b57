package interp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/lock"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/interp/internal/assemble"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/stdlib"
)

// dialect is the dialect of L1: top-level control flow and reassignment on, recursion and
// while off.
var dialect = syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}

// An evaluation is one run of Eval.
//
// One Starlark thread runs all modules, each nested in the load of another. So steps are
// counted across all modules, and an error has the whole stack.
type evaluation struct {
	ctx      context.Context //nolint:containedctx // lives as long as one call of Eval
	dir      *os.Root
	name     string // of the Pipelinefile, below the root
	opts     Options
	session  *builtins.Session
	thread   *starlark.Thread
	env      starlark.StringDict
	testEnv  starlark.StringDict // of test files; nil: none was loaded yet
	test     string              // the function of the file to call, if session.Tests is set
	inner    []plan.Input        // inputs of the evaluations that a test has requested
	guards   *bounded.Guards
	libs     map[string]fs.FS
	modules  map[string]*module
	listings map[string]lock.Listing // of remote modules
	loading  []*module               // from the Pipelinefile to the module that runs
	parsed   int                     // tokens of modules
	steps    bool                    // the step limit was reached
	printed  printed
}

func newEvaluation(ctx context.Context, dir *os.Root, name string, opts Options) *evaluation {
	if opts.Limits.Steps == 0 {
		opts.Limits.Steps = DefaultSteps
	}
	if opts.Limits.Size == 0 {
		opts.Limits.Size = DefaultSize
	}
	if opts.Environment.Name == "" {
		opts.Environment.Name = "default"
	}
	if opts.Environment.Kind == "" {
		opts.Environment.Kind = plan.KindEnvironment
	}
	s := builtins.NewSession(builtins.NewFiles(dir, int64(opts.Limits.Size)))
	s.Environment, s.Version, s.Values, s.StandIns = opts.Environment, opts.Version, opts.Params, opts.StandIns
	s.Files.Keep(opts.Trees)
	e := &evaluation{
		ctx: ctx, dir: dir, name: name, opts: opts, session: s, modules: map[string]*module{},
		libs: map[string]fs.FS{"std": stdlib.FS},
	}
	for name, lib := range opts.Modules {
		e.libs[name] = lib
	}
	e.thread = &starlark.Thread{Name: name, Load: e.load, Print: e.print}
	e.thread.SetMaxExecutionSteps(opts.Limits.Steps)
	e.thread.OnMaxSteps = func(th *starlark.Thread) {
		e.steps = true
		th.Cancel("too many steps")
	}
	s.Meter = bounded.NewMeter(ctx, e.thread, opts.Limits.Steps, opts.Limits.Size)
	s.Files.Bound(s.Meter)
	e.env = s.Predeclared(opts.Builtins)
	e.guards = bounded.NewGuards(bounded.Options{
		Meter: s.Meter, Thread: e.thread, Loads: func() int { return len(e.loading) }, Opaque: builtins.HasSecret,
	})
	e.guards.Declare(e.env)
	return e
}

// predeclared returns the names that are predeclared in a module, besides those of
// Starlark.
func (e *evaluation) predeclared(src source) starlark.StringDict {
	if src.lib != "" || !strings.HasSuffix(src.name, builtins.TestSuffix) {
		return e.env
	}
	if e.testEnv == nil {
		e.testEnv = e.session.PredeclaredTests()
		maps.Copy(e.testEnv, e.env) // functions of the host take precedence
	}
	return e.testEnv
}

// only evaluates the Pipelinefile and everything it loads, without making a plan.
func (e *evaluation) only() error {
	if err := e.declare(); err != nil {
		return err
	}
	if e.session.Failed() {
		return e.failure(nil)
	}
	return nil
}

// declare evaluates the Pipelinefile and everything it loads. It may leave errors about
// declarations in the session, so that the caller can find more of them.
func (e *evaluation) declare() error {
	stop := context.AfterFunc(e.ctx, func() { e.thread.Cancel("cancelled") })
	defer stop()
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}
	if err := builtins.CheckEnvironment(e.opts.Environment); err != nil {
		e.report(plan.Pos{}, err)
		return e.failure(nil)
	}
	err := e.safely(e.execute)
	e.printedMore()
	if err != nil {
		e.fatal(err)
	}
	if missing := assemble.Missing(e.session, e.name); missing != nil && !e.steps {
		return e.failure(missing)
	}
	if err != nil {
		return e.failure(nil)
	}
	return nil
}

// run evaluates the Pipelinefile and everything it loads, and makes the plan.
func (e *evaluation) run() (*plan.Plan, error) {
	if err := e.declare(); err != nil {
		return nil, err
	}
	if e.session.Tests != nil && !e.declares() {
		if e.session.Failed() {
			return nil, e.failure(nil)
		}
		return nil, nil
	}
	p := assemble.Plan(e.session, e.name)
	if e.session.Failed() {
		return nil, e.failure(nil)
	}
	return p, nil
}

// execute runs the file, and the selected test in it.
func (e *evaluation) execute() error {
	m, err := e.exec(source{name: e.name})
	if err != nil || e.session.Tests == nil {
		return err
	}
	return e.callTest(m)
}

func (e *evaluation) found() bool {
	if _, ok := e.opts.Overlay[e.name]; ok {
		return true
	}
	_, err := e.dir.Stat(e.name)
	return !errors.Is(err, fs.ErrNotExist)
}

// safely turns a panic of the interpreter into an error (L4). The frames are lost when
// the panic is recovered, but evaluation is deterministic. So it runs again up to the
// step that panicked, and records the call stack there.
func (e *evaluation) safely(f func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		err = &crash{what: fmt.Sprint(p), stack: e.at(e.thread.Steps)}
	}()
	return f()
}

// at runs an evaluation like e again and returns the call stack at that step.
func (e *evaluation) at(steps uint64) (stack starlark.CallStack) {
	opts := e.opts
	opts.Print = nil
	opts.Limits.Steps = steps
	again := newEvaluation(e.ctx, e.dir, e.name, opts)
	again.thread.OnMaxSteps = func(th *starlark.Thread) {
		if stack == nil {
			stack = th.CallStack()
		}
		th.Cancel("found")
	}
	defer func() { _ = recover() }() // it did not get that far: no position
	if e.session.Tests != nil {
		again.tests(e.test)
	}
	_ = again.execute()
	return stack
}

// A crash is a panic of the interpreter.
type crash struct {
	what  string
	stack starlark.CallStack
}

func (c *crash) Error() string { return "the interpreter cannot do this: " + c.what }

// compile compiles a parsed file.
func (e *evaluation) compile(src source, tree *syntax.File) (*starlark.Program, error) {
	if e.guards != nil { // nil in a benchmark
		bounded.Rewrite(tree)
	}
	env := e.predeclared(src)
	prog, err := starlark.FileProgram(tree, env.Has)
	if e.unresolved(tree, env, err) {
		return nil, errReported
	}
	return prog, err
}

// unresolved reports the errors of the resolver in a file, and returns whether there are
// any.
func (e *evaluation) unresolved(tree *syntax.File, env starlark.StringDict, err error) bool {
	var list resolve.ErrorList
	if !errors.As(err, &list) {
		return false
	}
	names := append(globals(tree), names(env)...)
	offers := e.offers()
	for i, r := range list {
		if i == misspell.MaxErrors {
			names = nil
		}
		if i == maxUndefined {
			break
		}
		e.report(e.pos(r.Pos), explain.Resolve(r.Msg, names, offers))
	}
	return true
}
