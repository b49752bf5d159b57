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
		Short: "Show the logs of an environment's services",
		Long: `logs shows the lines that the pods of an environment have printed, all services in
order of time, each with its service and pod. With -f it follows new output, including
that of new pods, until it is interrupted. The values of
secrets of the namespace are replaced by REDACTED. If a node does not answer,
its lines are missing: this is an error after all other lines, and with -f it is retried.

-o json writes each line as {"service", "pod", "container", "time", "text"}.`,
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
		err := op.cluster.Inspector.Logs(ctx, op.env, opts, a.logLine(out, width))
		if opts.Follow && ctx.Err() != nil {
			return nil // the normal end
		}
		return op.cluster.Explain(err)
	})
	cmd.Flags().StringSliceVar(&run.services, "service", nil, "show only this `service`, e.g. --service api; repeatable")
	cmd.Flags().BoolVarP(&opts.Follow, "follow", "f", false, "follow new output, e.g. pipe logs staging -f")
	cmd.Flags().DurationVar(&opts.Since, "since", 0, "omit lines older than this `time`, e.g. --since 10m (default: no limit)")
	cmd.Flags().IntVar(&opts.Tail, "tail", 0, "show at most this `number` of lines of each container, e.g. --tail 100 (default: all)")
	addLines(cmd, &out)
	a.completeServicesOf(cmd, &target.part, &target.env)
	return cmd
}

// addLines adds the output format of a verb that prints lines.
func addLines(cmd *cobra.Command, out *string) {
	*out = "text"
	formats := []string{"text", "json"}
	choice(cmd, out, "output", "o", formats, "write each line as `format`, on standard output, e.g. -o json: "+list(formats))
}

// logLine returns a function that writes a line. Errors are ignored: once
// standard output is closed, nothing can be reported.
func (a *app) logLine(format string, width int) func(inspect.LogLine) {
	if format == "json" {
		e := ui.Encoder(a.stdout)
		return func(l inspect.LogLine) { _ = e.Encode(l) }
	}
	return func(l inspect.LogLine) {
		fmt.Fprintf(a.stdout, "%s %-*s %s | %s\n", l.Time.UTC().Format(time.TimeOnly), width, l.Service, l.Pod, ui.Clean(l.Text))
	}
}
