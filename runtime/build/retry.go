package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// firstWait is the first wait before a retry.
const firstWait = 200 * time.Millisecond

// maxWait is for how long a build waits, in all its retries together, because a registry asks for
// that.
const maxWait = 10 * time.Minute

// retry does something on the node that prefers its origin, from, and after a transient error
// retries, on another node if there is one. It waits as long as a registry asks for. what is its name
// in events.
func (b *Builder) retry(ctx context.Context, what, from string, emit runtime.Emit, do func(*node) (plan.Digest, error)) (plan.Digest, error) {
	tried := map[*node]bool{}
	waits, waited := retry.NewWaits(firstWait), time.Duration(0)
	absent, err := b.pool.find(ctx)
	if err != nil {
		return "", err
	}
	n := b.pool.take(from, tried)
	if absent != nil {
		emit(runtime.Retried{What: what, Error: absent.Error(), Again: 1, From: redact.URLs(absent.Addr), To: redact.URLs(n.addr)})
	}
	for again := 1; ; again++ {
		digest, err := do(n.node)
		b.pool.give(n, err == nil)
		if err == nil {
			b.pool.works(n.node)
		}
		if err == nil || ctx.Err() != nil {
			return digest, err
		}
		tried[n.node] = true
		var unreachable *UnreachableError
		gone := errors.As(err, &unreachable) || refused(err)
		if gone {
			b.pool.avoid(n.node)
		}
		if gone {
			// Other pods of a farm may be ready now. If it cannot be asked, those that were are tried.
			_, _ = b.pool.find(ctx)
		}
		nodes := b.pool.size()
		elsewhere := gone && len(tried) < nodes
		if again >= max(retry.Max+1, nodes) || !elsewhere && !transient(err) {
			return "", err
		}
		pause := waits.Wait
		wait, asked := asksToWait(err)
		if asked && !elsewhere {
			waited += wait
			if deadline, ok := ctx.Deadline(); waited > maxWait || ok && time.Until(deadline) < wait {
				return "", &cause{fmt.Sprintf("%v (it asks to wait for %v)", err, wait.Round(time.Second)), err}
			}
			pause = func(ctx context.Context) error { return retry.Pause(ctx, wait) }
		}
		n.doubt()
		next := b.pool.take(from, tried)
		retried := runtime.Retried{What: what, Error: err.Error(), Again: again}
		if asked && !elsewhere {
			retried.Wait = int64((wait + time.Second - 1) / time.Second)
		}
		if next.node != n.node {
			retried.From, retried.To = redact.URLs(n.addr), redact.URLs(next.addr)
		}
		emit(retried)
		n = next
		if elsewhere {
			continue
		}
		if err := pause(ctx); err != nil {
			b.pool.give(n, false)
			return "", err
		}
	}
}
