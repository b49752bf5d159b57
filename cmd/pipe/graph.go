package main

import (
	"github.com/spf13/cobra"

	"github.com/pipelinefile/pipe/cmd/internal/graph"
)

func (a *app) graphCmd() *cobra.Command {
	var v invocation
	formats := append([]string{"json", "yaml"}, graph.Formats...)
	cmd := &cobra.Command{
		Use:   "graph [PIPELINEFILE]",
		Short: "Draw the stages and services of a Pipelinefile",
		Long: `graph draws the stages of a Pipelinefile in running order, their services, and what
services use from each other: the credentials of a database, an address in env, an image that
is built once for several. It contacts no cluster. dot is for Graphviz, mermaid for pages that
render it; svg is a picture, and needs no other program.`,
		Example: `  pipe graph
  pipe graph -o svg > pipeline.svg
  pipe graph -o mermaid --env staging --set replicas=2
  pipe graph examples/shop -o dot | dot -Tpng -o pipeline.png`,
	}
	a.onFile(cmd, &v, func(v *invocation) error {
		defer a.hide()
		e, err := v.begin(v.cmd.Context(), v.evaluate)
		if err != nil {
			return err
		}
		a.hide()
		g := graph.Of(e.plan)
		return a.write(v.show.output, g, func() error { return graph.Write(a.stdout, g, graph.Format(v.show.output)) })
	})
	v.eval.add(cmd)
	v.show.addProgress(cmd)
	v.show.output = string(graph.Text)
	choice(cmd, &v.show.output, "output", "o", formats, "draw it as `format`, on standard output, e.g. -o svg: "+list(formats))
	return cmd
}
