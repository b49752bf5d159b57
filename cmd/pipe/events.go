package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) eventsCmd() *cobra.Command {
	var (
		follow bool
		out    string
	)
	cmd := &cobra.Command{
		Use:   "events ENV",
		Short: "Show the Kubernetes events of an environment",
		Long: `events shows the Kubernetes events of the objects of an environment, by time: pods that are
scheduled, images that are pulled, health checks that fail. A cluster keeps them for about
an hour. With -f it follows new events until it is interrupted. For
the events of a run, see --progress of "pipe run" and "pipe history".

-o json writes each line as {"time", "service", "object", "warning", "reason", "text", "count"}.`,
		Example: `  pipe events staging
  pipe events staging -f
  pipe events staging -o json | jq 'select(.warning)'`,
	}
	a.onEnvironment(cmd, func(op operation) error {
		ctx := op.cmd.Context()
		err := op.cluster.Inspector.Happenings(ctx, op.env, follow, a.happening(out))
		if follow && ctx.Err() != nil {
			return nil // the normal end
		}
		return op.cluster.Explain(err)
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "follow new events, e.g. pipe events staging -f")
	addLines(cmd, &out)
	return cmd
}

// happening returns a function that writes an event.
func (a *app) happening(format string) func(inspect.Happening) {
	if format == "json" {
		e := ui.Encoder(a.stdout)
		return func(h inspect.Happening) { _ = e.Encode(h) }
	}
	return func(h inspect.Happening) {
		text := fmt.Sprintf("%s %s: %s: %s", h.Time.Format(time.TimeOnly), h.Object, h.Reason, ui.Clean(h.Text))
		if h.Warning {
			text = fmt.Sprintf("%s %s: warning: %s: %s", h.Time.Format(time.TimeOnly), h.Object, h.Reason, ui.Clean(h.Text))
		}
		if h.Count > 1 {
			text += fmt.Sprintf(" (%d times)", h.Count)
		}
		fmt.Fprintln(a.stdout, text)
	}
}
