// Package lsp is the language server: it tells an editor what is wrong with the
// Pipelinefiles and modules that are open in it, and what stands where.
//
// Three kinds of knowledge meet. What the builtins say of themselves (L8) gives
// signatures, types and help. The syntax tree of a file, with a part that is
// being written left out of it, gives names and where they come from. And the
// evaluation of the texts as they stand in the editor, which runs beside the
// session and begins anew with each change, gives diagnostics and the plan.
package lsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/lint"
	"github.com/pipelinefile/pipe/plan"
)

// Options say how a server evaluates. The zero value works.
type Options struct {
	Environment plan.EnvironmentRef // default: "default"
	Params      map[string]string   // values of parameters; those without one have a made-up one
	Limits      interp.Limits
	Version     string // of pipe
	Cache       fs.FS  // remote modules, as interp.Options.Cache; nil: there are none
	// Builtins and Modules are those of the host program, as in interp.Options.
	Builtins []*builtins.Func
	Modules  map[string]fs.FS
	// Library is a folder where modules of libraries and remote ones are written to,
	// because an editor opens only what is on disk; empty: they are not opened.
	Library string
	// Dockerfiles returns what is wrong with the Dockerfiles of a plan, whose
	// texts read returns: dockerfile.Builds of interp/lint. nil: they are not looked at.
	Dockerfiles func(ctx context.Context, p *plan.Plan, read func(name string) ([]byte, error)) ([]lint.Finding, error)
}

// ErrNoShutdown is returned when an editor ends the server without having asked
// it to shut down.
var ErrNoShutdown = errors.New("the editor has ended the server without a shutdown request")

// Serve speaks the Language Server Protocol with an editor, until that ends it,
// in ends, or ctx does. It is nil after a shutdown in order and at the end of in.
//
// It reads the files of the workspace that the editor has open, runs
// Pipelinefiles within the bounds of [interp.Eval], and changes nothing besides
// Options.Library.
func Serve(ctx context.Context, in io.Reader, out io.Writer, opts Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &server{
		opts: opts, params: opts.Params, conn: newConn(in, out), workspace: newWorkspace(opts), table: newTable(opts.Builtins),
		subjects: map[string]*subject{}, verdicts: make(chan verdict), turns: make(chan struct{}, 1),
	}
	defer s.work.Wait()
	defer cancel(errors.New("the server ends"))
	incoming := make(chan arrival)
	// Nobody waits for this one: a read from a pipe cannot be interrupted, and
	// ends with the process or when the editor closes its end.
	go s.receive(ctx, incoming)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case v := <-s.verdicts:
			s.judged(v)
		case a := <-incoming:
			if a.err != nil {
				if errors.Is(a.err, io.EOF) {
					return nil
				}
				return a.err
			}
			if done, err := s.handle(ctx, a.message); done {
				return err
			}
			s.settle(ctx)
		}
		if s.broken != nil {
			return fmt.Errorf("write to the editor: %w", s.broken)
		}
	}
}
