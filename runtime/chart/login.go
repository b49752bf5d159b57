package chart

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/repo"

	"github.com/pipelinefile/pipe/internal/redact"
)

// A login is what Helm's list of repositories ("helm repo add") has for a chart
// repository: a user name and a password, its CA, and a client certificate. As with Helm,
// other hosts get the password only if the repository was added with --pass-credentials.
// The same holds for the certificates.
type login struct {
	address string // of the repository
	entry   *repo.Entry
	host    *url.URL
	secure  http.RoundTripper // with the certificates; nil: there are none
}

// loginOf returns the login for a chart repository.
func loginOf(address string) (*login, error) {
	l := &login{address: address, entry: &repo.Entry{}}
	file := cli.New().RepositoryConfig
	list, err := repo.LoadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err != nil: // the error may quote the file
		return nil, fmt.Errorf("Helm's list of repositories %s cannot be read: repair it, or add its repositories again with helm repo add", file)
	}
	if l.host, err = url.Parse(address); err != nil {
		return nil, err
	}
	for _, r := range list.Repositories {
		if r == nil || strings.TrimSuffix(r.URL, "/") != strings.TrimSuffix(address, "/") {
			continue
		}
		if r.Username == "" && r.CAFile == "" && r.CertFile == "" && r.KeyFile == "" {
			continue
		}
		l.entry = r
		break
	}
	config, err := l.certificates()
	if err != nil {
		return nil, fmt.Errorf("Helm's list of repositories %s: %w: correct it with: %s", file, err, l.add("--force-update --ca-file CA --cert-file CERTIFICATE --key-file KEY"))
	}
	if config != nil {
		l.secure = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	}
	return l, nil
}

// certificates returns the configuration of TLS with the CA and the client certificate, or
// nil if there is neither.
func (l *login) certificates() (*tls.Config, error) {
	e := l.entry
	if e.CAFile == "" && e.CertFile == "" && e.KeyFile == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		data, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the CA file %s: %w", e.CAFile, withoutPath(err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("the CA file %s has no certificate in PEM format", e.CAFile)
		}
	}
	if e.CertFile == "" && e.KeyFile == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the client certificate %q with the key %q: %w", e.CertFile, e.KeyFile, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// covers reports whether a URL gets what the login has.
func (l *login) covers(u *url.URL) bool {
	return l.entry.PassCredentialsAll || l.host != nil && l.host.Scheme == u.Scheme && l.host.Host == u.Host
}

// RoundTrip implements [http.RoundTripper]. Redirects to other hosts do not get the
// certificates.
func (l *login) RoundTrip(req *http.Request) (*http.Response, error) {
	if l.secure != nil && l.covers(req.URL) {
		return l.secure.RoundTrip(req)
	}
	return http.DefaultTransport.RoundTrip(req)
}

// sign sets the user name and the password on a request.
func (l *login) sign(req *http.Request) {
	if l.entry.Username != "" && l.covers(req.URL) {
		req.SetBasicAuth(l.entry.Username, l.entry.Password)
	}
}

// explain returns the error of a request of a URL with the next step, if it is about certificates.
func (l *login) explain(err error, u *url.URL) error {
	var (
		unverified *tls.CertificateVerificationError
		refused    *net.OpError
	)
	switch {
	case errors.As(err, &unverified):
		if l.entry.CAFile == "" {
			return fmt.Errorf("this machine does not trust the certificate of %s (%w): give Helm its CA: %s", u.Host, unverified, l.add("--ca-file CA"))
		}
		if !l.covers(u) {
			return fmt.Errorf("this machine does not trust the certificate of %s (%w), and the CA file is for the host of the repository only: give it to other hosts, too, with: %s", u.Host, unverified, l.add("--pass-credentials --ca-file "+l.entry.CAFile))
		}
		return fmt.Errorf("the CA file %s is not that of the certificate of %s (%w): give Helm the right one: %s", l.entry.CAFile, u.Host, unverified, l.add("--ca-file CA"))
	case errors.As(err, &refused) && refused.Op == "remote error": // an alert of TLS
		what := "it may require a client certificate"
		if l.entry.CertFile != "" {
			what = "it may not accept the client certificate " + l.entry.CertFile
		}
		return fmt.Errorf("%s refuses the connection (%w), %s: give Helm one: %s", u.Host, refused.Err, what, l.add("--cert-file CERTIFICATE --key-file KEY"))
	}
	return err
}

// add returns the command that adds the repository to Helm's list, or changes it there.
func (l *login) add(flags string) string {
	name := "NAME"
	if l.entry.Name != "" {
		name = l.entry.Name
		flags = "--force-update " + strings.TrimPrefix(flags, "--force-update ")
	}
	return fmt.Sprintf("helm repo add %s %s %s", name, redact.URLs(l.address), flags)
}
