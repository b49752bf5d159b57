package chart

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

// An authority issues certificates, as files in a directory.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes a certificate and its key to NAME.pem and NAME.key.
func (a *authority) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.file(name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// serve starts a server with a certificate of the authority.
func (a *authority) serve(auth tls.ClientAuthType, handler http.HandlerFunc) *httptest.Server {
	a.t.Helper()
	a.issue("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	pair, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: auth, ClientCAs: clients}
	server.StartTLS()
	a.t.Cleanup(server.Close)
	return server
}

// TestCertificates: the CA and the client certificate of a repository come from Helm's list
// of repositories, and are for the host of the repository only.
func TestCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	client := func(from *authority) {
		from.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	client(a)
	client(other)
	packed := pack(t, "web", nil)
	var shown atomic.Int64 // client certificates that another host got
	far := a.serve(tls.RequestClientCert, func(w http.ResponseWriter, r *http.Request) {
		shown.Add(int64(len(r.TLS.PeerCertificates)))
		w.Write(packed)
	})
	var at atomic.Pointer[string]
	private := a.serve(tls.RequireAndVerifyClientCert, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "index.yaml") {
			fmt.Fprintf(w, "apiVersion: v1\nentries:\n  web:\n  - {name: web, version: 1.2.3, urls: [%q]}\n", *at.Load())
			return
		}
		w.Write(packed)
	})
	text := filepath.Join(t.TempDir(), "text.pem")
	if err := os.WriteFile(text, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "repositories.yaml")
	t.Setenv("HELM_REPOSITORY_CONFIG", list)
	host, farHost := strings.TrimPrefix(private.URL, "https://"), strings.TrimPrefix(far.URL, "https://")
	certs := fmt.Sprintf(", certFile: %q, keyFile: %q", a.file("client.pem"), a.file("client.key"))
	ca := fmt.Sprintf(", caFile: %q", a.file("ca.pem"))
	for _, test := range []struct {
		name, entry, chart string
		want               []string // of the error; none: it works
	}{
		{"both", ca + certs, "web.tgz", nil},
		{"no login", "", "web.tgz", []string{"chart repository " + private.URL, "this machine does not trust the certificate of " + host, "helm repo add NAME " + private.URL + " --ca-file CA"}},
		{"another CA", fmt.Sprintf(", caFile: %q", other.file("ca.pem")) + certs, "web.tgz", []string{"the CA file " + other.file("ca.pem") + " is not that of the certificate of " + host, "helm repo add acme " + private.URL + " --force-update --ca-file CA"}},
		{"no client certificate", ca, "web.tgz", []string{host + " refuses the connection", "it may require a client certificate: give Helm one: helm repo add acme " + private.URL + " --force-update --cert-file CERTIFICATE --key-file KEY"}},
		{"another client certificate", ca + fmt.Sprintf(", certFile: %q, keyFile: %q", other.file("client.pem"), other.file("client.key")), "web.tgz", []string{"it may not accept the client certificate " + other.file("client.pem")}},
		{"no CA file", ", caFile: /none.pem" + certs, "web.tgz", []string{list, "the CA file /none.pem: ", "--ca-file CA"}},
		{"no certificate in it", fmt.Sprintf(", caFile: %q", text), "web.tgz", []string{"has no certificate in PEM format"}},
		{"no key", ca + fmt.Sprintf(", certFile: %q", a.file("client.pem")), "web.tgz", []string{"the client certificate ", "with the key \"\""}},
		{"the key of another", ca + fmt.Sprintf(", certFile: %q, keyFile: %q", a.file("client.pem"), other.file("client.key")), "web.tgz", []string{"the client certificate "}},
		{"the chart elsewhere", ca + certs, far.URL + "/web.tgz", []string{farHost, "for the host of the repository only", "--force-update --pass-credentials --ca-file " + a.file("ca.pem")}},
		{"the chart elsewhere, with its consent", ca + certs + ", pass_credentials_all: true", far.URL + "/web.tgz", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			at.Store(&test.chart)
			shown.Store(0)
			entry := ""
			if test.entry != "" {
				entry = fmt.Sprintf("- {name: acme, url: %q%s}\n", private.URL, test.entry)
			}
			if err := os.WriteFile(list, []byte("apiVersion: v1\nrepositories:\n"+entry), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := NewShelf(t.TempDir(), t.TempDir()).Chart(t.Context(), service(plan.Chart{Ref: "web", Repo: private.URL, Version: "1.2.3"}), nil)
			if (err == nil) != (test.want == nil) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || shown.Load() > 0) {
				t.Errorf("a secret or a certificate is shown: %v", err)
			}
		})
	}
}
