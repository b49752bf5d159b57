package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/watch"
)

// addOnChange adds --watch to a verb.
func addOnChange(cmd *cobra.Command, on *bool, does string) {
	cmd.Flags().BoolVar(on, "watch", false, "keep running, and "+does+" again whenever an input changes, e.g. pipe "+cmd.Name()+" --watch")
}

// errStayed is the end of a verb that runs until it is interrupted: only the
// exit status says so.
var errStayed = errors.New("ended")

// A reading is what one call of onChange has read.
type reading struct {
	inputs []plan.Input
	builds []plan.BuildSpec // whose contexts are among the inputs
}

// onChange calls do, and again whenever something that it has read below root
// changes, until ctx is done, which is an errStayed, or do returns an error. A
// change cancels the context of the current call; the changes given to a
// canceled call are given to the next one, too.
func (a *app) onChange(ctx context.Context, root string, do func(context.Context, []watch.Change) (reading, error)) error {
	files, err := watch.OpenFiles(root, watch.FileOptions{Notice: func(n watch.Notice) { a.note(polled(n)) }})
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }() // opened for reading only
	var changes []watch.Change
	for {
		doing, stale := context.WithCancel(ctx)
		ended := make(chan struct{})
		var read reading
		go func() {
			defer close(ended)
			read, err = do(doing, changes)
		}()
		var next *watch.Change
		select {
		case <-ended:
		case c := <-files.Changes():
			next = &c
			stale()
			<-ended
		}
		stale()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", errStayed, context.Cause(ctx))
		case next != nil:
			changes = append(changes, *next)
			continue
		case err != nil:
			return err
		}
		if err := files.Set(read.inputs, read.builds); err != nil {
			return err
		}
		select {
		case c := <-files.Changes():
			changes = []watch.Change{c}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errStayed, context.Cause(ctx))
		}
	}
}

// changed shows the changed files.
func (a *app) changed(changes []watch.Change) {
	for _, c := range changes {
		a.current().Event(runtime.Event{Time: a.now(), Body: runtime.FilesChanged{Paths: c.Paths, Head: c.Head}})
	}
}

// stream writes one of several results in the format of -o: JSON as a line,
// YAML as a document.
func (a *app) stream(format string, v any, text func() error) error {
	switch format {
	case "json":
		return ui.Encoder(a.stdout).Encode(v)
	case "yaml":
		data, err := asYAML(v)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(append([]byte("---\n"), data...))
		return err
	}
	return text()
}

// A mistaken is the result of an evaluation that failed.
type mistaken struct {
	Version int               `json:"version"`
	Errors  []plan.Diagnostic `json:"errors"`
}

// failed shows why an evaluation failed: to people, and as a result in the
// format of -o.
func (a *app) failed(format string, err error) error {
	a.report(err)
	return a.stream(format, mistaken{1, diagnosticsOf(err)}, func() error { return nil })
}

// diagnosticsOf returns the diagnostics of a file, or else err as one
// diagnostic.
func diagnosticsOf(err error) []plan.Diagnostic {
	var wrong *interp.Error
	if errors.As(err, &wrong) {
		return wrong.Diagnostics
	}
	return []plan.Diagnostic{{Severity: plan.SeverityError, Message: strings.TrimRight(err.Error(), "\n")}}
}
