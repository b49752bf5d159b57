package deploy

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// retry runs an operation, and repeats it if the cluster became unreachable
// during it, for example for a restart, and came back. Partial work is
// recovered like that of a dead process (A6).
func (d *Deployer) retry(ctx context.Context, emit runtime.Emit, what string, do func() error) error {
	for n := 1; ; n++ {
		err := do()
		var away *observe.AwayError
		switch {
		case err == nil:
			d.answered.Store(true)
			return nil
		case !errors.As(err, &away), errors.Is(err, runtime.ErrTimeout), n > retry.Max, !d.answered.Load():
			return err
		}
		emit(runtime.Retried{What: what, Error: fmt.Sprintf("cluster %s does not answer", d.cluster.Config.Host), Again: n})
		if !d.cluster.back(ctx) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
}

// back waits for the cluster to serve again, and reports whether it does.
func (c *cluster) back(ctx context.Context) bool {
	ctx, stop := context.WithTimeout(ctx, retry.Patience)
	defer stop()
	for {
		err := c.Typed.Discovery().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).Error()
		var said apierrors.APIStatus
		if err == nil || errors.As(err, &said) && said.Status().Code < 500 { // we may lack the right to ask
			return true
		}
		if retry.Pause(ctx, retry.Interval) != nil {
			return false
		}
	}
}

// silent discards events.
func silent(runtime.Body) {}
