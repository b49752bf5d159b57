package control

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pipelinefile/pipe/cmd/pipe-cluster/internal/home"
)

// Authorities and the key that signs tokens of service accounts are kept as long as the cluster's data,
// which contains what they have signed. All other certificates are signed again at each start, so that
// they match the current addresses and never expire.
const (
	authorityYears = 10
	leafYears      = 2
)

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// loadAuthority reads a certificate authority, or creates it.
func loadAuthority(dir, name string) (*authority, error) {
	crtFile, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	key, err := loadKey(keyFile)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(crtFile)
	if err == nil {
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, fmt.Errorf("%s: no certificate in it", crtFile)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", crtFile, err)
		}
		return &authority{cert, key, b}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	t := template(name, nil, authorityYears)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	return a, home.WriteFile(crtFile, a.pem, 0o600)
}

// loadKey reads a private key, or creates it.
func loadKey(file string) (crypto.Signer, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		b, err := keyPEM(k)
		if err != nil {
			return nil, err
		}
		return k, home.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: no key in it", file)
	}
	k, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// leaf is a certificate to be signed. It is a client certificate, and also a server certificate if it
// has names or addresses.
type leaf struct {
	name  string
	group string // none if empty
	dns   []string
	ips   []net.IP
}

// sign creates a key and a certificate for it, both in PEM.
func (a *authority) sign(l leaf) (crt, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	var groups []string
	if l.group != "" {
		groups = []string{l.group}
	}
	t := template(l.name, groups, leafYears)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(l.dns)+len(l.ips) > 0 {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	t.DNSNames, t.IPAddresses = l.dns, l.ips
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, k.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(k)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key, err
}

// signTo writes the certificate and the key of sign to NAME.crt and NAME.key.
func (a *authority) signTo(dir, file string, l leaf) error {
	crt, key, err := a.sign(l)
	if err != nil {
		return err
	}
	return errors.Join(
		home.WriteFile(filepath.Join(dir, file+".crt"), crt, 0o600),
		home.WriteFile(filepath.Join(dir, file+".key"), key, 0o600))
}

func template(name string, groups []string, years int) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: groups},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(years, 0, 0),
	}
}

func keyPEM(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
