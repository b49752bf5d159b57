package build

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// firstWait is the first wait before a retry.
const firstWait = 200 * time.Millisecond

// retry builds on a node, and after a transient error retries, on another node if there
// is one.
func (b *Builder) retry(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit, do func(*node) (plan.Digest, error)) (plan.Digest, error) {
	from, tried := origin(spec, ref), map[*node]bool{}
	waits := retry.NewWaits(firstWait)
	absent, err := b.pool.find(ctx)
	if err != nil {
		return "", err
	}
	n := b.pool.take(from, tried)
	if absent != nil {
		emit(runtime.Retried{What: "build " + spec.ID, Error: absent.Error(), Again: 1, From: redact.URLs(absent.Addr), To: redact.URLs(n.addr)})
	}
	for again := 1; ; again++ {
		digest, err := do(n)
		b.pool.give(n)
		if err == nil {
			b.pool.works(n)
		}
		if err == nil || ctx.Err() != nil {
			return digest, err
		}
		tried[n] = true
		var unreachable *UnreachableError
		gone := errors.As(err, &unreachable) || refused(err)
		if gone {
			b.pool.avoid(n)
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
		n.doubt()
		next := b.pool.take(from, tried)
		retried := runtime.Retried{What: "build " + spec.ID, Error: err.Error(), Again: again}
		if next != n {
			retried.From, retried.To = redact.URLs(n.addr), redact.URLs(next.addr)
		}
		emit(retried)
		n = next
		if elsewhere {
			continue
		}
		if err := waits.Wait(ctx); err != nil {
			b.pool.give(n)
			return "", err
		}
	}
}

// refused reports whether a builder has cancelled a build, or does not accept it. The caller
// has not cancelled it.
func refused(err error) bool {
	var build *runtime.BuildError
	code := grpcerrors.Code(err)
	return !errors.As(err, &build) && (code == codes.Unavailable || code == codes.Canceled)
}

// passing are texts of remote errors that have no type here, and that may not occur
// again on a retry.
var passing = []string{
	"no active session",
	"connection refused",
	"connection reset by peer",
	"broken pipe",
	"unexpected EOF",
	"error reading from server: EOF",
	"transport is closing",
	"TLS handshake timeout",
	"i/o timeout",
	"502 Bad Gateway",
	"503 Service Unavailable",
	"504 Gateway Timeout",
	"429 Too Many Requests",
	silence,
}

// transient reports whether a retry may succeed. Errors of the build itself are not
// transient: they would occur again.
func transient(err error) bool {
	var build *runtime.BuildError
	if errors.As(err, &build) || errors.Is(err, runtime.ErrConflict) {
		return false
	}
	// A builder that was never reached may have a wrong address.
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) && unreachable.Lost || unreachable == nil && refused(err) {
		return true
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
		return true
	}
	text := err.Error()
	for _, s := range passing {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}
