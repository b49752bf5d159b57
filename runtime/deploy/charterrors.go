package deploy

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/chart"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

// lacking adds the Secrets without which a chart was rendered to the error about it.
func lacking(use chart.Use, err error) error {
	var of *runtime.ChartError
	if len(use.Absent) == 0 || !errors.As(err, &of) {
		return err
	}
	return &runtime.ChartError{Err: err, Kind: of.Kind, Absent: use.Absent}
}

// ofChart returns err as a *runtime.ChartError, unless it is an answer of the cluster, the
// lack of one, an image that cannot be copied, or the end of ctx.
func ofChart(ctx context.Context, err error) error {
	var (
		answer apierrors.APIStatus
		known  *runtime.ChartError
		images *runtime.ImagesError
	)
	if err == nil || ctx.Err() != nil || observe.Unreachable(err) || errors.As(err, &answer) || errors.As(err, &known) || errors.As(err, &images) {
		return err
	}
	return &runtime.ChartError{Err: err}
}
