package registry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/runtime"
)

// Error messages for answers of registries.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"nothing there", 404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`,
			"image HOST/web:1: not found in registry HOST: check the name and the tag"},
		{"a page of a proxy", 404, `<html>nope</html>`,
			"image HOST/web:1: not found in registry HOST: check the name and the tag"},
		{"too many", 429, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your unauthenticated pull rate limit."}]}`,
			`image HOST/web:1: registry HOST received too many requests (You have reached your unauthenticated pull rate limit.): run "docker login HOST", or try again later`},
		{"full", 507, ``,
			"image HOST/web:1: registry HOST has no space left: free some space, or raise its quota"},
		{"full, in words", 500, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":"write /var/lib/x: no space left on device"}]}`,
			"image HOST/web:1: registry HOST has no space left (unknown error): free some space, or raise its quota"},
		{"quota", 403, `{"errors":[{"code":"DENIED","message":"adding 10 MiB of storage resource, which when updated to current usage of 2 GiB will exceed the configured upper limit of 2 GiB."}]}`,
			"image HOST/web:1: registry HOST has no space left (adding 10 MiB of storage resource, which when updated to current usage of 2 GiB will exceed the configured upper limit of 2 GiB.): free some space, or raise its quota"},
		{"broken", 500, `{"errors":[{"code":"UNKNOWN","message":"unknown\n error"},{"code":"UNKNOWN","message":"again"}]}`,
			"image HOST/web:1: registry HOST returned 500 Internal Server Error (unknown error; again): try again, or ask its operator"},
		{"no registry", 400, `<html>bad request</html>`,
			"image HOST/web:1: registry HOST returned 400 Bad Request: try again, or ask its operator"},
		{"talkative", 400, fmt.Sprintf(`{"errors":[{"code":"UNKNOWN","message":%q}]}`, strings.Repeat("ä", 1000)),
			"image HOST/web:1: registry HOST returned 400 Bad Request (" + strings.Repeat("ä", 150) + "…): try again, or ask its operator"},
		{"expired", 403, `{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}`,
			`image HOST/web:1: registry HOST requires credentials, and none were found for it (Your authorization token has expired. Reauthenticate and try again.): run "docker login HOST"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			u.when(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v2/" {
					return false
				}
				w.WriteHeader(row.status)
				fmt.Fprint(w, row.body)
				return true
			})
			_, err := newRegistry(t, u.addr).Resolve(t.Context(), u.addr+"/web:1")
			if want := strings.ReplaceAll(row.want, "HOST", u.addr); err == nil || err.Error() != want {
				t.Errorf("Resolve = %v\nwant %s", err, want)
			}
			if found := errors.Is(err, runtime.ErrNotFound); found != (row.status == 404) {
				t.Errorf("ErrNotFound = %v", found)
			}
		})
	}
}

// fromLater returns a certificate that is valid in half an hour, as for a machine whose clock is
// an hour slow.
func fromLater(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"registry.test"}, NotBefore: time.Now().Add(30 * time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// Error messages for registries that do not answer.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	late := httptest.NewUnstartedServer(http.NotFoundHandler())
	late.TLS = fromLater(t)
	late.StartTLS()
	t.Cleanup(late.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for _, row := range []struct{ name, host, at, want string }{
		{"refused", "registry.test", "127.0.0.1:1", "registry registry.test cannot be reached: connection refused: check that it is running, and its address"},
		{"no TLS", "registry.test", plain.Listener.Addr().String(), "registry registry.test does not use TLS, which is only accepted on loopback: check its port"},
		{"certificate", "registry.test", secure.Listener.Addr().String(), "the certificate of registry registry.test is not trusted: "},
		{"clock", "registry.test", late.Listener.Addr().String(), "the certificate of registry registry.test is not valid now: x509: certificate has expired or is not yet valid: "},
		{"name", "registry.invalid", "", "registry registry.invalid cannot be reached: no such host: check its name"},
		{"private address", "10.0.0.1:5000", "127.0.0.1:1", "registry 10.0.0.1:5000 cannot be reached: connection refused: check that it is running, and its address"},
		{"silent", "registry.test", silent.Addr().String(), "registry registry.test does not respond: check the network and its address"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, row.host)
			to := &http.Transport{}
			if row.name == "silent" {
				to.TLSHandshakeTimeout = 100 * time.Millisecond
			}
			var d net.Dialer
			to.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return d.DialContext(ctx, network, row.at)
			}
			if row.at == "" {
				to.DialContext = func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.DNSError{Err: "no such host", Name: row.host, IsNotFound: true}
				}
			}
			r.wire.inner = to
			_, err := r.Resolve(t.Context(), row.host+"/web:1")
			if want := "image " + row.host + "/web:1: " + row.want; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Resolve = %v\nwant %s", err, want)
			}
		})
	}
}

func TestCancelledIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	u.when(func(_ http.ResponseWriter, r *http.Request) bool {
		cancel(errors.New("the run was cancelled"))
		<-r.Context().Done()
		return true
	})
	_, err := newRegistry(t, u.addr).Resolve(ctx, u.addr+"/web:1")
	if want := "image " + u.addr + "/web:1: the run was cancelled"; err == nil || err.Error() != want {
		t.Errorf("Resolve = %v, want %s", err, want)
	}
}

func TestURLsAreLeftOut(t *testing.T) {
	t.Parallel()
	signed := "https://blobs.test/x?X-Amz-Signature=hunter2"
	err := &url.Error{Op: "Get", URL: signed, Err: &url.Error{Op: "Get", URL: signed, Err: errors.New("broken pipe")}}
	for _, text := range []string{sentence(err), unanswered("registry.test", err)} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "broken pipe") {
			t.Errorf("shown: %s", text)
		}
	}
	answer := &transport.Error{StatusCode: 503, Request: httptest.NewRequest(http.MethodGet, signed, nil)}
	if text := sentence(answer); text != "503 Service Unavailable" {
		t.Errorf("shown: %s", text)
	}
}
