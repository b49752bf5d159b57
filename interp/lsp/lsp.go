// Package lsp is the language server: it gives an editor diagnostics,
// completion, hover and navigation for Pipelinefiles and modules.
//
// It combines three sources. The declarations of the builtins (L8) give
// signatures, types and help. The syntax tree of a file, without the part that
// is being typed, gives names and their definitions. The evaluation of the
// texts as they are in the editor gives diagnostics and the plan; it runs in
// the background and restarts with each change.
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

// Options configure a server. The zero value works.
type Options struct {
	Environment plan.EnvironmentRef // default: "default"
	Params      map[string]string   // values of parameters; the others get a placeholder
	Limits      interp.Limits
	Version     string // of pipe
	Cache       fs.FS  // remote modules, as interp.Options.Cache; nil: none
	// Builtins and Modules are those of the host program, as in interp.Options.
	Builtins []*builtins.Func
	Modules  map[string]fs.FS
	// Library is a directory to which modules of libraries and remote modules
	// are written, because an editor opens only files on disk; empty: they
	// cannot be opened.
	Library string
	// Dockerfiles returns the findings for the Dockerfiles of a plan, which it
	// reads with read: dockerfile.Builds of interp/lint. nil: Dockerfiles are
	// not checked.
	Dockerfiles func(ctx context.Context, p *plan.Plan, read func(name string) ([]byte, error)) ([]lint.Finding, error)
}

// ErrNoShutdown is returned if the editor ends the session without a shutdown request.
var ErrNoShutdown = errors.New("the editor ended the session without a shutdown request")

// Serve speaks the Language Server Protocol with an editor until the editor
// ends the session, in ends, or ctx is done. It returns nil after an orderly
// shutdown and at the end of in.
//
// It reads the files of the workspace that the editor has open, runs
// Pipelinefiles within the limits of [interp.Eval], and writes nothing outside
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
	// Nothing waits for this goroutine: a read from a pipe cannot be
	// interrupted, so it ends with the process or when the editor closes its
	// end.
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
