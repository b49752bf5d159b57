package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// deployFile is all that it takes to carry out a Pipelinefile.
func deployFile(ctx context.Context, file string, opts local.Options, out io.Writer) error {
	p, err := interp.Eval(ctx, file, interp.Options{Root: opts.Dir})
	if err != nil {
		return err
	}
	rt, err := local.Open(ctx, opts)
	if err != nil {
		return err
	}
	_, err = rt.Run(ctx, runtime.Request{Action: runtime.Deploy, Plan: p, Events: func(e runtime.Event) {
		fmt.Fprintln(out, e.Stage, e.Service, e.Body.Kind())
	}})
	return errors.Join(err, rt.Close())
}
