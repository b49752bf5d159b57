package buildkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/runtime/internal/retry"
	"github.com/pipelinefile/pipe/runtime/reach"
)

// A Connector connects to a builder that is ready.
type Connector struct {
	Name     string
	Instance string  // changes when the builder is replaced
	CPU      float64 // cores of a build there
	Memory   int64   // bytes of a build there
	Dial     func(context.Context) (net.Conn, error)
}

// patience is how long builders that exist may take to become ready, for example while they
// are being created, or while the only one is being replaced.
const patience = time.Minute

// Ready returns the builders that are ready. While there are pods and none of them is ready, it
// waits for a minute; then the error is a *NotReadyError. It needs fewer permissions than the other
// methods: to read the Secret of the clients, and to list and reach pods.
func (f *Farm) Ready(ctx context.Context) ([]Connector, error) {
	secret, err := f.client.CoreV1().Secrets(f.namespace).Get(ctx, secretClient, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, &MissingError{f.namespace}
	}
	if err != nil {
		return nil, explain(err)
	}
	config, err := clientConfig(f.namespace, secret.Data, time.Now())
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; {
		pods, err := f.pods(ctx)
		if err != nil {
			return nil, err
		}
		var ready []Connector
		var others []Builder
		for i := range pods {
			p := &pods[i]
			b := builderOf(p)
			if !b.Ready {
				others = append(others, b)
				continue
			}
			cpu, _ := resource.ParseQuantity(p.Annotations[annotationCPU]) // zero: as for other builders
			memory, _ := resource.ParseQuantity(p.Annotations[annotationMemory])
			ready = append(ready, Connector{p.Name, string(p.UID), cpu.AsApproximateFloat64(), memory.Value(), func(ctx context.Context) (net.Conn, error) {
				return f.dial(ctx, p.Name, config)
			}})
		}
		if len(ready) > 0 {
			return ready, nil
		}
		if time.Now().After(end) || len(pods) == 0 {
			return nil, &NotReadyError{Namespace: f.namespace, Builders: others}
		}
		if err := retry.Pause(ctx, interval); err != nil {
			return nil, err
		}
	}
}

// dial connects to a builder through the API server.
func (f *Farm) dial(ctx context.Context, pod string, config *tls.Config) (net.Conn, error) {
	namespace, err := reach.Open(f.config, f.namespace)
	if err != nil {
		return nil, err
	}
	conn, err := namespace.Dial(ctx, pod, port)
	if err != nil {
		return nil, explain(err)
	}
	return f.secure(ctx, conn, pod, config)
}

// secure starts TLS on a connection to a builder.
func (f *Farm) secure(ctx context.Context, conn net.Conn, pod string, config *tls.Config) (net.Conn, error) {
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // it cannot be used
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return nil, &ExpiredError{f.namespace, fmt.Sprintf("the certificate of builder %s has expired on %s", pod, invalid.Cert.NotAfter.Format(time.DateOnly))}
		}
		return nil, fmt.Errorf("builder %s: %w", pod, err)
	}
	return secure, nil
}
