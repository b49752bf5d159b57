package build

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/pipelinefile/pipe/runtime"
)

// refused reports whether a builder has cancelled a build, or does not accept it. The caller
// has not cancelled it.
func refused(err error) bool {
	var build *runtime.BuildError
	code := grpcerrors.Code(err)
	return !errors.As(err, &build) && (code == codes.Unavailable || code == codes.Canceled)
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
	if retryInfo(err) != nil {
		return true
	}
	var network *net.OpError // not of a deadline of our own
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network) && network.Timeout():
		return true
	}
	return isPassing(err)
}

// retryInfo returns what the embedded builder says about an error that may not occur again; nil: it
// says nothing.
func retryInfo(err error) *errdetails.RetryInfo {
	said, ok := grpcerrors.AsGRPCStatus(err)
	if !ok {
		return nil
	}
	for _, detail := range said.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info
		}
	}
	return nil
}

// asksToWait returns for how long a registry of a build asks to wait.
func asksToWait(err error) (wait time.Duration, ok bool) {
	wait = retryInfo(err).GetRetryDelay().AsDuration()
	return wait, wait > 0
}

// A passing is an error that a builder passes on as a string, and that may not occur again.
type passing struct{ text, why string }

// passings are the only errors that are recognized by their words. A BuildKit that is not the embedded
// one reports the errors of its requests to registries and to the session of the build as strings, in
// a status without a code. The words are those of Go and of BuildKit.
var passings = []passing{
	{"no active session", "the builder has lost the connection to the files of the build, as when the machine sleeps"},
	{"error reading from server: EOF", "that connection ended while a file was sent"},
	{"transport is closing", "that connection was closed before a request"},
	{"connection refused", "a registry, or the builder itself, is being restarted"},
	{"connection reset by peer", "a registry, or a proxy before it, has dropped a connection"},
	{"broken pipe", "the same, while the builder was sending"},
	{"unexpected EOF", "the same, in the middle of an answer"},
	{"TLS handshake timeout", "a registry is too busy to accept connections"},
	{"i/o timeout", "a registry, or a name server, does not answer in time"},
	{"429 Too Many Requests", "a registry limits how often it is asked"},
	{"502 Bad Gateway", "the registry behind a proxy is being restarted"},
	{"503 Service Unavailable", "a registry is overloaded or being restarted"},
	{"504 Gateway Timeout", "the registry behind a proxy does not answer in time"},
	{silence, "an embedded builder that an earlier version of pipe has started says so"},
}

// isPassing reports whether the string of an error from a builder is one of passings.
func isPassing(err error) bool {
	return slices.ContainsFunc(passings, func(p passing) bool { return isSaid(p, err) })
}

// isSaid reports whether the string of an error from a builder has the words of p.
func isSaid(p passing, err error) bool {
	said, ok := grpcerrors.AsGRPCStatus(err)
	return ok && strings.Contains(said.Message(), p.text)
}
