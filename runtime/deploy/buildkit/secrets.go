package buildkit

import (
	"bytes"
	"context"
	"crypto/x509"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinefile/pipe/plan"
)

// The Secrets with the certificates. "pipe builders up" needs all of them, a run only that of the
// clients. The builders mount that of the server.
const (
	secretAuthority = "buildkit-authority"
	secretServer    = "buildkit-server"
	secretClient    = "buildkit-client"
)

// The keys in the Secrets, which are the names of the files of --buildkit-tls.
const (
	fileAuthority   = "ca.pem"
	fileCertificate = "cert.pem"
	fileKey         = "key.pem"
)

// certify makes sure that the Secrets exist and are valid for some time, and returns a digest
// of the certificate of the builders. If it is interrupted, the next call goes on: a
// certificate that the authority has not signed is replaced.
func (f *Farm) certify(ctx context.Context, now time.Time) (digest string, err error) {
	authority, err := f.authority(ctx, now)
	if err != nil {
		return "", err
	}
	for name, usage := range map[string]x509.ExtKeyUsage{secretServer: x509.ExtKeyUsageServerAuth, secretClient: x509.ExtKeyUsageClientAuth} {
		secret, err := f.secret(ctx, name)
		if err != nil {
			return "", err
		}
		p := parsePair(secret.Data[fileCertificate], secret.Data[fileKey])
		if !p.good(authority, usage, now) || !bytes.Equal(secret.Data[fileAuthority], authority.certificate) {
			if p, err = issue(authority, request(f.namespace, usage, now)); err != nil {
				return "", err
			}
			secret.Data = map[string][]byte{fileAuthority: authority.certificate, fileCertificate: p.certificate, fileKey: p.key}
			if err := f.put(ctx, secret); err != nil {
				return "", err
			}
		}
		if name == secretServer {
			digest = string(plan.DigestOf(p.certificate))
		}
	}
	return digest, nil
}

// authority returns the certificate authority, which it creates or renews.
func (f *Farm) authority(ctx context.Context, now time.Time) (*pair, error) {
	secret, err := f.secret(ctx, secretAuthority)
	if err != nil {
		return nil, err
	}
	p := parsePair(secret.Data[fileAuthority], secret.Data[fileKey])
	// What it signs must not outlive it.
	if p != nil && now.Add(valid).Before(p.leaf.NotAfter) {
		return p, nil
	}
	if p, err = newAuthority(f.namespace, now); err != nil {
		return nil, err
	}
	secret.Data = map[string][]byte{fileAuthority: p.certificate, fileKey: p.key}
	return p, f.put(ctx, secret)
}

// secret returns a Secret. If it does not exist, the result has no version.
func (f *Farm) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	secret, err := f.client.CoreV1().Secrets(f.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: f.namespace, Labels: labels()}}, nil
	}
	return secret, explain(err)
}

// put writes a Secret that nobody else has written since it was read.
func (f *Farm) put(ctx context.Context, secret *corev1.Secret) error {
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	maps.Copy(secret.Labels, labels())
	var err error
	if secret.ResourceVersion == "" {
		_, err = f.client.CoreV1().Secrets(f.namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		_, err = f.client.CoreV1().Secrets(f.namespace).Update(ctx, secret, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	return explain(err)
}
