//go:build linux

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pipelinefile/pipe/internal/stall"
)

// TestTell: a client learns from the status of an error whether it may not occur again, and when to
// try again.
func TestTell(t *testing.T) {
	t.Parallel()
	busy := &busyHosts{}
	busy.note("busy.test", time.Hour)
	busy.note("once.test", -time.Second)
	answer := func(code int, host string) error {
		return remoteserrors.ErrUnexpectedStatus{Status: http.StatusText(code), StatusCode: code, RequestURL: "https://" + host + "/v2/a/manifests/1"}
	}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, row := range []struct {
		err  error
		want bool
		wait time.Duration
	}{
		{answer(http.StatusTooManyRequests, "busy.test"), true, time.Hour},
		{answer(http.StatusServiceUnavailable, "busy.test"), true, time.Hour},
		{answer(http.StatusTooManyRequests, "once.test"), true, 0},
		{answer(http.StatusBadGateway, "other.test"), true, 0},
		{answer(http.StatusForbidden, "busy.test"), false, 0},
		{answer(http.StatusInternalServerError, "busy.test"), false, 0},
		{final(&stall.Error{Host: "busy.test", Wait: stall.Read}), true, 0},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), true, 0},
		{dial(os.NewSyscallError("write", syscall.EPIPE)), true, 0},
		{dial(os.ErrDeadlineExceeded), true, 0},
		{io.ErrUnexpectedEOF, true, 0},
		{context.DeadlineExceeded, false, 0},
		{context.Canceled, false, 0},
		{errors.New("429 Too Many Requests"), false, 0},
	} {
		_, err := busy.tell(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/Solve"}, func(context.Context, any) (any, error) {
			return nil, fmt.Errorf("failed to solve: %w", row.err)
		})
		said := status.Convert(err)
		if said.Code() == codes.OK || !strings.Contains(said.Message(), row.err.Error()) {
			t.Errorf("%v became %v", row.err, err)
		}
		var info *errdetails.RetryInfo
		for _, detail := range said.Details() {
			if of, ok := detail.(*errdetails.RetryInfo); ok {
				info = of
			}
		}
		if wait := info.GetRetryDelay().AsDuration(); (info != nil) != row.want || wait > row.wait || wait < row.wait-time.Minute {
			t.Errorf("of %v, the client learns %v, want %v with %v", row.err, info, row.want, row.wait)
		}
	}
	if answer, err := busy.tell(t.Context(), nil, nil, func(context.Context, any) (any, error) { return "fine", nil }); answer != "fine" || err != nil {
		t.Errorf("an answer became %v, %v", answer, err)
	}
}

// TestRetryAfter: what a registry asks for is noted, and forgotten afterwards.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	busy := &busyHosts{}
	busy.note("once.test", -time.Second)
	hosts, err := withTransport(registryHosts(nil, t.TempDir()+"/registries.conf"), busy, time.Minute, time.Minute)(host)
	if err != nil || len(hosts) == 0 {
		t.Fatal(hosts, err)
	}
	answer, err := hosts[0].Client.Get(server.URL + "/v2/a/manifests/1")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if wait := busy.wait(host); wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("%s is waited for %v, want an hour", host, wait)
	}
	if len(busy.until) != 1 {
		t.Errorf("noted: %v, want %s alone", busy.until, host)
	}
}
