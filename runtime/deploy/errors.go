package deploy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// explain says of an error of the cluster what it means and what to do. An error
// that came with the end of ctx is the cause of that.
func (d *Deployer) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	host := d.cluster.config.Host
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
	)
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("cluster %s does not accept the credentials of the kubeconfig; log in anew: %w", host, err)
	case apierrors.IsForbidden(err):
		// The server says who may not do what on which resource.
		return fmt.Errorf("%w; have a Role with this right bound to you in the namespace", err)
	case errors.As(err, &authority), errors.As(err, &name):
		return fmt.Errorf("cluster %s is not the one that the kubeconfig is for, or its certificate is new; get the kubeconfig anew: %w", host, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return &awayError{fmt.Sprintf("cluster %s does not answer: nothing listens there; start it, or name another one: %v", host, err), err}
	case unreachable(err):
		return &awayError{fmt.Sprintf("cluster %s does not answer; when it does again, run again: what was begun is taken up: %v", host, err), err}
	}
	return err
}

// unreachable reports whether there was no answer.
func unreachable(err error) bool {
	var request *url.Error
	var network net.Error
	return errors.As(err, &request) || errors.As(err, &network)
}
