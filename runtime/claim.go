package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// A run that is not told when the build of another one ends asks for the image: at first after
// firstPoll, and then after an eighth of the time for which it has waited, but at least every claimPoll.
// So it learns soon that a short build has ended, and asks rarely during a long one. It tries to claim
// the build every claimPoll, because the other run may fail.
const (
	firstPoll = 100 * time.Millisecond
	claimPoll = time.Second
)

// errClaimLost is the cause of a build that was cancelled because another process
// builds the image.
var errClaimLost = errors.New("another process builds the image")

// build builds an image under a claim. If another process has claimed it, build waits for
// its image, and takes over if that process fails or dies (I2).
func (r *run) build(ctx context.Context, im *image, emit Emit) (plan.Digest, error) {
	said := ""
	var began time.Time // of the waiting
	for {
		claim, err := r.Registry.Claim(ctx, im.ref, r.req.holder(), !im.build.UsesBuildKit())
		var other *ClaimedError
		switch {
		case errors.As(err, &other):
			if other.By != said {
				said = other.By
				emit(WaitingFor{What: fmt.Sprintf("the image of %s: %s", im.build.ID, other.Error())})
			}
			if began.IsZero() {
				began = time.Now()
			}
			sched.Leave(ctx) // images that nobody builds can be built in the meantime
			if digest, err := r.awaitBuilt(ctx, im, other, began); !errors.Is(err, ErrNotFound) {
				return digest, err
			}
			sched.Return(ctx)
			continue
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err != nil: // it may be a registry that keeps nothing but images
			emit(Warned{plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: im.build.Pos,
				Message: fmt.Sprintf("the build of %s cannot be claimed, so another machine may build it at the same time: %v", im.build.ID, err),
			}})
			return r.makeSigned(ctx, im, emit)
		}
		digest, err := r.buildUnder(ctx, claim, im, emit)
		if !errors.Is(err, errClaimLost) {
			return digest, err
		}
	}
}

// awaitBuilt waits for an image that another process builds, and returns its digest. The error is
// ErrNotFound if it is time to claim the build. began is when the run began to wait.
func (r *run) awaitBuilt(ctx context.Context, im *image, other *ClaimedError, began time.Time) (plan.Digest, error) {
	if other.Wait != nil {
		if err := other.Wait(ctx); err != nil {
			return "", err
		}
		return r.resolveBuilt(ctx, im)
	}
	for claimed := time.Now(); ; {
		if err := retry.Pause(ctx, min(max(time.Since(began)/8, firstPoll), claimPoll)); err != nil {
			return "", err
		}
		if digest, err := r.resolveBuilt(ctx, im); !errors.Is(err, ErrNotFound) || time.Since(claimed) >= claimPoll {
			return digest, err
		}
	}
}

// buildUnder builds an image while claim is held, unless another process has built it since
// the run looked for it.
func (r *run) buildUnder(ctx context.Context, claim Claim, im *image, emit Emit) (plan.Digest, error) {
	defer func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
		defer stop()
		claim.Release(ctx)
	}()
	if digest, err := r.resolveBuilt(ctx, im); !errors.Is(err, ErrNotFound) {
		return digest, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-claim.Lost():
			cancel(errClaimLost)
		case <-ctx.Done():
		}
	}()
	digest, err := r.makeSigned(ctx, im, emit)
	if err != nil && errors.Is(context.Cause(ctx), errClaimLost) {
		return "", errClaimLost
	}
	return digest, err
}
