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

// addOnChange adds the flag of a verb that can stay.
func addOnChange(cmd *cobra.Command, on *bool, does string) {
	cmd.Flags().BoolVar(on, "watch", false, "stay, and "+does+" again whenever an input changes, e.g. pipe "+cmd.Name()+" --watch")
}

// errStayed is the end of a verb that stays until it is interrupted: there is nothing
// to go on with, so only the status tells it.
var errStayed = errors.New("ended")

// A reading is what one call of onChange has read.
type reading struct {
	inputs []plan.Input
	builds []plan.BuildSpec // whose contexts are among the inputs
}

// onChange calls do, and again whenever something that it has read below root
// changes, until ctx ends, which is an errStayed, or do returns an error. A change
// ends the context of the call that goes on: what that call was told, the next one is
// told, too.
func (a *app) onChange(ctx context.Context, root string, do func(context.Context, []watch.Change) (reading, error)) error {
	files, err := watch.OpenFiles(root, watch.FileOptions{Notice: func(n watch.Notice) { a.note(polled(n)) }})
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }() // it reads only
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

// changed shows what has changed.
func (a *app) changed(changes []watch.Change) {
	for _, c := range changes {
		a.current().Event(runtime.Event{Time: a.now(), Body: runtime.FilesChanged{Paths: c.Paths, Head: c.Head}})
	}
}

// stream writes one of many results in the format of -o: JSON in a line, YAML as a
// document of its own.
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

// failed shows why an evaluation failed: to people, and as a result in the format of -o.
func (a *app) failed(format string, err error) error {
	a.report(err)
	return a.stream(format, mistaken{1, diagnosticsOf(err)}, func() error { return nil })
}

// diagnosticsOf returns what is wrong with a file, or else err as one diagnostic.
func diagnosticsOf(err error) []plan.Diagnostic {
	var wrong *interp.Error
	if errors.As(err, &wrong) {
		return wrong.Diagnostics
	}
	return []plan.Diagnostic{{Severity: plan.SeverityError, Message: strings.TrimRight(err.Error(), "\n")}}
}
