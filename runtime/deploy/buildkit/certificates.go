package buildkit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// How long certificates are valid, and how long before their end they are renewed.
const (
	validAuthority = 10 * 365 * 24 * time.Hour
	valid          = 365 * 24 * time.Hour
	renewBefore    = 60 * 24 * time.Hour
)

// A pair is a certificate and its key.
type pair struct {
	certificate, key []byte // PEM
	leaf             *x509.Certificate
	signer           *ecdsa.PrivateKey
}

// parsePair returns a pair, or nil if it is damaged.
func parsePair(certificate, key []byte) *pair {
	loaded, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil
	}
	signer, ok := loaded.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil
	}
	return &pair{certificate, key, loaded.Leaf, signer}
}

// issue creates a certificate with a new key that authority signs; nil: it signs itself.
func issue(authority *pair, template *x509.Certificate) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	parent, signer := template, key
	if authority != nil {
		parent, signer = authority.leaf, authority.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	made := parsePair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	if made == nil {
		return nil, errors.New("the new certificate cannot be read")
	}
	return made, nil
}

// newAuthority returns a new certificate authority. It is the only one that builders and clients trust.
func newAuthority(namespace string, now time.Time) (*pair, error) {
	return issue(nil, &x509.Certificate{
		Subject:   pkix.Name{CommonName: "builders of pipe in namespace " + namespace},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validAuthority), // clocks may differ
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	})
}

// request returns what the certificate of the builders or of their clients says.
func request(namespace string, usage x509.ExtKeyUsage, now time.Time) *x509.Certificate {
	r := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "client of builders in namespace " + namespace},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
	}
	if usage == x509.ExtKeyUsageServerAuth {
		r.Subject.CommonName = serverName(namespace)
		for _, end := range []string{"", ".cluster.local"} {
			r.DNSNames = append(r.DNSNames, serverName(namespace)+end, "*."+serverName(namespace)+end)
		}
	}
	return r
}

// serverName is the name of all builders in a namespace, which their certificate has.
func serverName(namespace string) string { return Name + "." + namespace + ".svc" }

// good reports whether p is signed by authority, for a use, and valid for long enough.
func (p *pair) good(authority *pair, usage x509.ExtKeyUsage, now time.Time) bool {
	if p == nil || now.Add(renewBefore).After(p.leaf.NotAfter) {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.leaf)
	_, err := p.leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: now})
	return err == nil
}

// clientConfig returns the TLS configuration of a client of builders, from the contents of its
// Secret. Its certificate must be valid now.
func clientConfig(namespace string, data map[string][]byte, now time.Time) (*tls.Config, error) {
	p := parsePair(data[fileCertificate], data[fileKey])
	roots := x509.NewCertPool()
	if p == nil || !roots.AppendCertsFromPEM(data[fileAuthority]) {
		return nil, fmt.Errorf("secret %s in namespace %s is damaged: it must have %s, %s and %s", secretClient, namespace, fileAuthority, fileCertificate, fileKey)
	}
	if now.After(p.leaf.NotAfter) {
		return nil, &ExpiredError{namespace, fmt.Sprintf("the certificate of clients of the builders in namespace %s has expired on %s", namespace, p.leaf.NotAfter.Format(time.DateOnly))}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: serverName(namespace), RootCAs: roots, NextProtos: []string{"h2"},
		Certificates: []tls.Certificate{{Certificate: [][]byte{p.leaf.Raw}, PrivateKey: p.signer, Leaf: p.leaf}},
	}, nil
}

// firstCertificate returns the first certificate in PEM, or nil.
func firstCertificate(data []byte) *x509.Certificate {
	block, _ := pem.Decode(bytes.TrimSpace(data))
	if block == nil {
		return nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return c
}
