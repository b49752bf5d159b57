package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// busyHosts are the registries that have asked not to be asked again for some time.
type busyHosts struct {
	mu    sync.Mutex
	until map[string]time.Time // by host; guarded by mu
}

// note notes what a registry asks for.
func (b *busyHosts) note(host string, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for host, until := range b.until {
		if until.Before(now) {
			delete(b.until, host)
		}
	}
	if b.until == nil {
		b.until = map[string]time.Time{}
	}
	b.until[host] = now.Add(wait)
}

// wait returns for how long a registry asks to wait.
func (b *busyHosts) wait(host string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(time.Until(b.until[host]), 0)
}

// tell answers a request of a client. BuildKit's errors reach the client as strings; if one may
// not occur again, a detail of its status says so, and when to try again.
func (b *busyHosts) tell(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	var cause error
	answer, err := grpcerrors.UnaryServerInterceptor(ctx, req, info, func(ctx context.Context, req any) (any, error) {
		answer, err := handler(ctx, req)
		cause = err
		return answer, err
	})
	if err == nil {
		return answer, nil
	}
	wait, ok := b.passing(cause)
	if !ok {
		return answer, err
	}
	if said, detailed := status.Convert(err).WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}); detailed == nil {
		err = said.Err()
	}
	return answer, err
}

// passing reports whether an error is that of a connection or of a registry that may answer
// otherwise the next time, and how long to wait for that.
func (b *busyHosts) passing(err error) (wait time.Duration, ok bool) {
	var said remoteserrors.ErrUnexpectedStatus
	if errors.As(err, &said) {
		switch said.StatusCode {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			return 0, false
		}
		if at, err := url.Parse(said.RequestURL); err == nil {
			wait = b.wait(at.Host)
		}
		return wait, true
	}
	var silent *silentError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return 0, false
	case errors.As(err, &silent), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, true
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return 0, true
	}
	return 0, errors.As(err, &network) && network.Timeout()
}
