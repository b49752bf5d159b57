package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/internal/stall"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/internal/retry"
)

// firstWait is the first wait before a retry. Tests wait less.
const firstWait = 500 * time.Millisecond

// try calls do until it succeeds, fails permanently, or has failed too often, and reports
// each retry. If credentials that are not recent are refused, it gets new ones once. If a
// registry received too many requests and says when it accepts more, that is not a failure: the
// wire waits for it, which is reported, too.
func (r *Registry) try(ctx context.Context, emit runtime.Emit, what string, do func(context.Context, *session) error) error {
	waits := retry.NewWaits(r.wait)
	renewed := false
	began := time.Now()
	_, hasDeadline := ctx.Deadline()
	ctx = context.WithValue(ctx, waitingKey{}, func(host string, wait time.Duration) {
		seconds := int64((wait + time.Second - 1) / time.Second)
		emit(runtime.Retried{What: what, Error: fmt.Sprintf("registry %s received too many requests and asks to wait for %d s", shownHost(host), seconds), Wait: seconds})
	})
	for again := 1; ; again++ {
		s, err := r.current()
		if err != nil {
			return err
		}
		err = do(ctx, s)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, context.Canceled) && again <= retry.Max:
			// Another caller was cancelled: the first caller negotiates access to a
			// repository for all that wait for it.
			continue
		case isRefused(err) && !renewed && r.renew(s):
			renewed = true
			continue
		case r.isLimited(err) && (hasDeadline || time.Since(began) < maxWait):
			again--
			continue
		case again > retry.Max || !isTransient(err):
			return err
		}
		emit(runtime.Retried{What: what, Error: sentence(err), Again: again})
		if err := waits.Wait(ctx); err != nil {
			return err
		}
	}
}

// isLimited reports whether a registry received too many requests and has said when it accepts
// more.
func (r *Registry) isLimited(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.Request != nil && !r.wire.gate(answer.Request.URL.Host).time().IsZero()
}

// isTransient reports whether a retry may succeed.
func isTransient(err error) bool {
	var upstream *upstreamError
	if isFull(err) || errors.As(err, &upstream) && upstream.final {
		return false
	}
	var resume *resumeError
	if errors.As(err, &resume) || isMixed(err) {
		return true
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var stalled *stall.Error // may be in an error that is not a timeout
	var net net.Error
	return errors.As(err, &stalled) || isCut(err) || errors.As(err, &net) && net.Timeout()
}

// isUnreachable reports whether a registry cannot be used now, for reasons that do not depend
// on the request.
func isUnreachable(err error) bool {
	return isTransient(err) || isNetwork(err)
}

// isNetwork reports whether there was no answer at all.
func isNetwork(err error) bool {
	var net net.Error
	var answer *transport.Error
	return errors.As(err, &net) && !errors.As(err, &answer)
}
