package observe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinefile/pipe/runtime"
)

// Explain adds to an error of the cluster what it means and what to do. If ctx is done, it
// returns the cause of that instead.
func (c *Cluster) Explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	host := c.Config.Host
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		answer    apierrors.APIStatus
	)
	switch {
	case apierrors.IsUnauthorized(err):
		return ofCluster(fmt.Sprintf("cluster %s does not accept the credentials of the kubeconfig; log in again", host), err)
	case apierrors.IsForbidden(err):
		text := err.Error()
		if errors.As(err, &answer) {
			text = answer.Status().Message
		}
		_, next := Forbidden(text)
		return &clusterError{err.Error() + next, err, runtime.CommonError{Text: text + next}}
	case errors.As(err, &authority), errors.As(err, &name):
		return ofCluster(fmt.Sprintf("cluster %s is not the one that the kubeconfig is for, or its certificate is new; get the kubeconfig again", host), err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return &AwayError{ofCluster(fmt.Sprintf("cluster %s does not answer: nothing listens there; start it, or name another one", host), err)}
	case Unreachable(err):
		return &AwayError{ofCluster(fmt.Sprintf("cluster %s does not answer; when it does again, run again: what was begun is taken up", host), err)}
	}
	return err
}

// Forbidden returns the reason why the server forbids a request, and what to do. The status
// does not distinguish missing permissions from quotas and admission. Only the message does:
// for missing permissions, the authorizer writes `is forbidden: User "NAME" cannot …`.
func Forbidden(message string) (cause runtime.ReleaseCause, next string) {
	switch {
	case strings.Contains(message, "exceeded quota: "):
		return runtime.CauseQuota, "; have the quota raised, or ask for less with replicas=, resources= or the size of volumes"
	case strings.Contains(message, `is forbidden: User "`):
		return runtime.CauseRights, "; have a Role with this right bound to you in the namespace"
	}
	return runtime.CauseObject, "; a rule of the cluster refuses it: change what it names, or ask who set the rule"
}

// A clusterError is an error of the cluster with an explanation. Releases that fail for the
// same reason share the common part.
type clusterError struct {
	text   string
	err    error
	common runtime.CommonError
}

// ofCluster returns an error whose common part is everything but the request.
func ofCluster(text string, err error) *clusterError {
	return &clusterError{fmt.Sprintf("%s: %v", text, err), err, runtime.CommonError{Text: text}}
}

func (e *clusterError) Error() string   { return e.text }
func (e *clusterError) Unwrap() []error { return []error{&e.common, e.err} }

// Unreachable reports whether the server did not answer.
func Unreachable(err error) bool {
	var request *url.Error
	var network net.Error
	return errors.As(err, &request) || errors.As(err, &network)
}

// An AwayError means that the cluster did not answer: the request may or may not have been
// executed.
type AwayError struct{ *clusterError }

// Advice returns what to do about the cluster.
func (*AwayError) Advice() runtime.Advice {
	return runtime.Advice{Do: "run again when it can be reached"}
}
