package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/observe"
)

const (
	// patience is how long a cluster that has answered before may be away until
	// what is done to it fails. A run loses its lease about then.
	patience = 10 * time.Second
	// returns is how often the cluster may come back during one operation.
	returns = 3
	// backEvery is how often a cluster that is away is asked whether it is back.
	backEvery = 250 * time.Millisecond
)

// again does an operation, and does it once more when the cluster went away
// during it, as with a restart, and came back: what was begun is taken up as what
// a dead process left is (A6).
func (d *Deployer) again(ctx context.Context, emit runtime.Emit, what string, do func() error) error {
	for n := 1; ; n++ {
		err := do()
		var away *observe.AwayError
		switch {
		case err == nil:
			d.answered.Store(true)
			return nil
		case !errors.As(err, &away), errors.Is(err, runtime.ErrTimeout), n > returns, !d.answered.Load():
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
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		err := c.Typed.Discovery().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).Error()
		var said apierrors.APIStatus
		if err == nil || errors.As(err, &said) && said.Status().Code < 500 { // to us it may not tell how it is
			return true
		}
		select {
		case <-time.After(backEvery):
		case <-ctx.Done():
			return false
		}
	}
}

// silent is for what has nobody to tell.
func silent(runtime.Body) {}
