package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pipelinefile/pipe/internal/stall"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// told returns an error as a builder passes it on, with details.
func told(code codes.Code, text string, details ...*errdetails.RetryInfo) error {
	s := grpcstatus.New(code, text)
	for _, d := range details {
		var err error
		if s, err = s.WithDetails(d); err != nil {
			panic(err)
		}
	}
	return grpcerrors.FromGRPC(s.Err())
}

func asks(wait time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}
}

// TestTransient checks which failures of a builder are retried.
func TestTransient(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, row := range []struct {
		err  error
		want bool
	}{
		{&UnreachableError{Addr: "tcp://b", Lost: true, Err: errors.New("gone")}, true},
		{&UnreachableError{Addr: "tcp://b", Err: errors.New("no such file")}, false},
		{&UnreachableError{Addr: "tcp://b", Err: told(codes.Unavailable, "dial unix /x: connect: no such file or directory")}, false},
		{&UnreachableError{Addr: "tcp://b", Err: told(codes.Unavailable, "dial tcp 192.0.2.1:1: connect: connection refused")}, true},
		{told(codes.Unavailable, "the server has ended"), true},
		{told(codes.Canceled, "context canceled"), true},
		{told(codes.NotFound, "no such image"), false},
		{told(codes.Unknown, "exit status 1"), false},
		{told(codes.Unknown, "something else", asks(0)), true},
		{&cause{"in other words", told(codes.Unknown, "something else", asks(time.Minute))}, true},
		{&runtime.BuildError{Err: told(codes.Unknown, "something else", asks(0))}, false},
		{fmt.Errorf("moved: %w", runtime.ErrConflict), false},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), true},
		{dial(os.NewSyscallError("read", syscall.ECONNRESET)), true},
		{dial(os.NewSyscallError("write", syscall.EPIPE)), true},
		{dial(os.ErrDeadlineExceeded), true},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), false},
		{io.ErrUnexpectedEOF, true},
		{context.DeadlineExceeded, false},
		// Words count only if they come from a builder.
		{errors.New("read LOG: connection reset by peer"), false},
	} {
		if got := transient(row.err); got != row.want {
			t.Errorf("transient(%v) = %v, want %v", row.err, got, row.want)
		}
	}
}

// TestPassings has for each of the words a message in which a builder says them.
func TestPassings(t *testing.T) {
	t.Parallel()
	const head = `failed to do request: Head "https://x.test/v2/a/manifests/1": `
	said := []string{
		"failed to solve: no active session for 9z8y7x: context deadline exceeded",
		"rpc error: code = Unavailable desc = error reading from server: EOF",
		"rpc error: code = Unavailable desc = transport is closing",
		head + "dial tcp 192.0.2.1:443: connect: connection refused",
		head + "read tcp 10.0.0.1:4->192.0.2.1:443: read: connection reset by peer",
		"failed to push x.test/a:1: write tcp 10.0.0.1:4->192.0.2.1:443: write: broken pipe",
		"failed to copy: httpReadSeeker: failed open: unexpected EOF",
		head + "net/http: TLS handshake timeout",
		head + "dial tcp: lookup x.test on 10.0.0.2:53: read udp 10.0.0.1:5->10.0.0.2:53: i/o timeout",
		"unexpected status from HEAD request to https://x.test/v2/a/manifests/1: 429 Too Many Requests",
		"unexpected status from GET request to https://x.test/v2/a/blobs/b: 502 Bad Gateway",
		"unexpected status from GET request to https://x.test/v2/a/blobs/b: 503 Service Unavailable",
		"unexpected status from GET request to https://x.test/v2/a/blobs/b: 504 Gateway Timeout",
		head + (&stall.Error{Host: "x.test", Wait: stall.Read}).Error(),
	}
	if len(said) != len(passings) {
		t.Fatalf("%d messages for %d words", len(said), len(passings))
	}
	for i, p := range passings {
		if p.why == "" {
			t.Errorf("%q has no reason", p.text)
		}
		err := told(codes.Unknown, said[i])
		for j, other := range passings {
			if isSaid(other, err) != (i == j) {
				t.Errorf("%q is recognized by %q, want %q", said[i], other.text, p.text)
			}
		}
		if !transient(err) {
			t.Errorf("%q is not retried", said[i])
		}
	}
}

// TestRetryWaits: a build is retried when the registry accepts requests again, if that is soon.
func TestRetryWaits(t *testing.T) {
	for _, test := range []struct {
		name     string
		asks     time.Duration
		deadline time.Duration // of the run; 0: none
		tries    int
		took     time.Duration
	}{
		{"a minute", time.Minute, 0, 2, time.Minute},
		{"within the time of the run", time.Minute, time.Hour, 2, time.Minute},
		{"longer than the run", time.Minute, 30 * time.Second, 1, 0},
		{"an hour", time.Hour, 0, 1, 0},
		{"often", 4 * time.Minute, 0, 3, 8 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}
				b := &Builder{pool: newTestPool(t, "no://one")}
				began, tries := time.Now(), 0
				var waits []int64
				_, err := b.retry(ctx, "build web", "x.test/web:1", func(e runtime.Body) {
					waits = append(waits, e.(runtime.Retried).Wait)
				}, func(*node) (plan.Digest, error) {
					if tries++; tries == 2 && test.name != "often" {
						return plan.DigestOf(nil), nil
					}
					return "", told(codes.Unknown, "429", asks(test.asks))
				})
				if took := time.Since(began); tries != test.tries || took != test.took || (err == nil) != (test.tries == 2) {
					t.Errorf("%d tries in %v: %v; want %d in %v", tries, took, err, test.tries, test.took)
				}
				for _, wait := range waits {
					if wait != int64(test.asks/time.Second) {
						t.Errorf("an event says %d s, want %v", wait, test.asks)
					}
				}
				if want := fmt.Sprintf("429 (it asks to wait for %v)", test.asks); err != nil && err.Error() != want {
					t.Errorf("error %v, want %s", err, want)
				}
			})
		})
	}
}
