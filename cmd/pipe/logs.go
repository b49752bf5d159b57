package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/ui"
	"github.com/pipelinefile/pipe/runtime/inspect"
)

func (a *app) logsCmd() *cobra.Command {
	var (
		run  runFlags
		opts inspect.LogOptions
		out  string
	)
	cmd := &cobra.Command{
		Use:   "logs ENV",
		Short: "Show what the services of an environment print",
		Long: `logs shows the lines that the pods of an environment have printed, of all services in the
order of time, each with its service and pod. With -f it goes on with what they print
from now on, also of pods that are yet to come, until it is interrupted. The values of
secrets of the namespace are replaced by REDACTED. What a node that does not answer has,
is missing: that is an error, once all other lines are shown, and with -f it is asked again.

-o json writes a line as {"service", "pod", "container", "time", "text"}.`,
		Example: `  pipe logs staging
  pipe logs staging -f --service api --service web
  pipe logs staging --since 10m --tail 100
  pipe logs staging -o json | jq -r 'select(.service == "api").text'`,
	}
	target := a.onEnvironment(cmd, func(op operation) error {
		ctx := op.cmd.Context()
		width := 0
		if op.env.Plan != nil {
			if err := checkServices(op.cmd, op.env.Plan, run.services); err != nil {
				return err
			}
			for _, s := range op.env.Plan.Services {
				width = max(width, len(s.Name))
			}
		}
		opts.Services = run.services
		opts.Trouble = a.note
		err := op.look.Inspector.Logs(ctx, op.env.Key, opts, a.logLine(out, width))
		if opts.Follow && ctx.Err() != nil {
			return nil // that is how it ends
		}
		return op.look.Explain(err)
	})
	cmd.Flags().StringSliceVar(&run.services, "service", nil, "show this `service` only, e.g. --service api; repeatable")
	cmd.Flags().BoolVarP(&opts.Follow, "follow", "f", false, "go on with what is printed from now on, e.g. pipe logs staging -f")
	cmd.Flags().DurationVar(&opts.Since, "since", 0, "leave out what is older than this `time`, e.g. --since 10m (default: all that is kept)")
	cmd.Flags().IntVar(&opts.Tail, "tail", 0, "of each container show this `number` of lines at most, e.g. --tail 100 (default: all)")
	addLines(cmd, &out)
	a.completeServicesOf(cmd, &target.part, &target.env)
	return cmd
}

// addLines adds the format of a verb whose result are lines.
func addLines(cmd *cobra.Command, out *string) {
	*out = "text"
	formats := []string{"text", "json"}
	choice(cmd, out, "output", "o", formats, "write each line as `format`, on standard output, e.g. -o json: "+list(formats))
}

// logLine returns what writes a line. Once standard output is closed, nobody
// reads: what is left to say is not said.
func (a *app) logLine(format string, width int) func(inspect.LogLine) {
	if format == "json" {
		e := ui.Encoder(a.stdout)
		return func(l inspect.LogLine) { _ = e.Encode(l) }
	}
	return func(l inspect.LogLine) {
		fmt.Fprintf(a.stdout, "%s %-*s %s | %s\n", l.Time.UTC().Format(time.TimeOnly), width, l.Service, l.Pod, ui.Clean(l.Text))
	}
}
