package buildkit

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"
)

// TestHandshake: builders and clients with certificates of the same authority accept each other,
// clients of other builders are refused, and an expired certificate is named as such.
func TestHandshake(t *testing.T) {
	const namespace = "ci"
	now := time.Now()
	long := now.Add(-2 * valid) // what was issued then has expired
	authority, err := newAuthority(namespace, long)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority(namespace, now)
	if err != nil {
		t.Fatal(err)
	}
	made := func(by *pair, usage x509.ExtKeyUsage, at time.Time) *pair {
		p, err := issue(by, request(namespace, usage, at))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	f := &Farm{namespace: namespace}
	handshake := func(server, client *pair) (theirs, ours error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		// As buildkitd does with --tlscacert, --tlscert and --tlskey.
		roots := x509.NewCertPool()
		roots.AddCert(authority.leaf)
		ended := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			defer conn.Close()
			s := tls.Server(conn, &tls.Config{
				Certificates: []tls.Certificate{{Certificate: [][]byte{server.leaf.Raw}, PrivateKey: server.signer}},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
			})
			ended <- s.HandshakeContext(t.Context())
		}()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientConfig(namespace, map[string][]byte{fileAuthority: authority.certificate, fileCertificate: client.certificate, fileKey: client.key}, now)
		if err != nil {
			t.Fatal(err)
		}
		secure, err := f.secure(t.Context(), conn, "buildkit-0", config)
		if err == nil {
			defer secure.Close()
		}
		return <-ended, err
	}
	server, client := made(authority, x509.ExtKeyUsageServerAuth, now), made(authority, x509.ExtKeyUsageClientAuth, now)
	if theirs, ours := handshake(server, client); theirs != nil || ours != nil {
		t.Errorf("handshake = %v, %v", theirs, ours)
	}
	if theirs, _ := handshake(server, made(other, x509.ExtKeyUsageClientAuth, now)); theirs == nil {
		t.Error("a builder accepts a client of another authority")
	}
	if theirs, _ := handshake(server, server); theirs == nil {
		t.Error("a builder accepts its own certificate as that of a client")
	}
	if _, ours := handshake(made(other, x509.ExtKeyUsageServerAuth, now), client); ours == nil {
		t.Error("a client accepts a builder of another authority")
	}
	_, ours := handshake(made(authority, x509.ExtKeyUsageServerAuth, long), client)
	if expired := (&ExpiredError{}); !errors.As(ours, &expired) || expired.Text != "the certificate of builder buildkit-0 has expired on "+long.Add(valid).UTC().Format(time.DateOnly) {
		t.Errorf("with an expired builder: %v", ours)
	}
}
