package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/pipelinefile/pipe/internal/stall"
	"github.com/pipelinefile/pipe/runtime"
)

// explain returns an error that says in one sentence what err means for ref, and what to do.
// The error is a new one and does not wrap err, which contains the request with its
// credentials.
func (r *Registry) explain(ctx context.Context, ref name.Reference, err error) error {
	image, host := show(ref), shownHost(ref.Context().RegistryStr())
	if ctx.Err() != nil {
		return fmt.Errorf("image %s: %w", image, context.Cause(ctx))
	}
	var keys *credentialError
	if errors.As(err, &keys) {
		return fmt.Errorf("image %s: %s", image, keys.Error())
	}
	var limited *limitedError
	if errors.As(err, &limited) {
		of := shownHost(limited.host)
		return fmt.Errorf("image %s: %w", image, &runtime.CommonError{
			Text: fmt.Sprintf("registry %s received too many requests and accepts none for %s: run \"%s\", or run again after that", of, limited.in(), login(of)),
			Err:  runtime.ErrUnreachable,
		})
	}
	var content *contentError
	if errors.As(err, &content) {
		return fmt.Errorf("image %s: %w: the image is damaged in the registry: push it again, or use another image", image, content)
	}
	var answer *transport.Error
	if !errors.As(err, &answer) {
		away := &runtime.CommonError{Text: unanswered(host, err), Err: runtime.Advise(runtime.ErrUnreachable, runtime.Advice{Do: "run again when it can be reached"})}
		if r.own(ref.Context()) {
			return fmt.Errorf("image %s: %w", image, away)
		}
		return fmt.Errorf("image %s: %w", image, runtime.Advise(away, runtime.Advice{Do: fmt.Sprintf("correct image=%q, or run again when its registry can be reached", image)}))
	}
	switch {
	case isFull(err):
		full := runtime.Advise(errors.New("no space left"), runtime.Advice{Do: "make room on the disk of the registry and run again"})
		return fmt.Errorf("image %s: %w", image, common(full, "registry %s has no space left%s: free some space, or raise its quota", host, said(answer)))
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("image %s: %w", image, common(runtime.ErrNotFound, "%v in registry %s: check the name and the tag", runtime.ErrNotFound, host))
	case answer.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("image %s: %w", image, common(nil, "registry %s received too many requests%s: run \"%s\", or try again later", host, said(answer), login(host)))
	case isRefused(err):
		return r.refused(ctx, ref, answer)
	}
	next := "try again, or ask its operator"
	if r.log != "" && ref.Context().RegistryStr() == r.home.RegistryStr() {
		next = "see " + r.log
	}
	return fmt.Errorf("image %s: %w", image, common(nil, "registry %s returned %d %s%s: %s", host, answer.StatusCode, http.StatusText(answer.StatusCode), said(answer), next))
}

// common returns the error of all images that have the same cause.
func common(err error, format string, args ...any) error {
	return &runtime.CommonError{Text: fmt.Sprintf(format, args...), Err: err}
}

// unlisted explains why a registry did not list what refers to ref. An answer that refuses to
// list says nothing about the image, which was read before.
func (r *Registry) unlisted(ctx context.Context, ref name.Reference, err error) error {
	host := shownHost(ref.Context().RegistryStr())
	var answer *transport.Error
	if ctx.Err() != nil || !errors.As(err, &answer) {
		return fmt.Errorf("list its signatures: %w", r.explain(ctx, ref, err))
	}
	return fmt.Errorf("registry %s did not list the signatures: it returned %d %s%s: try again, log in, or deploy the image from its own registry, with mirror=False",
		host, answer.StatusCode, http.StatusText(answer.StatusCode), said(answer))
}

// refused explains an answer of 401 or 403. Registries also return these for images that they
// do not have, so as not to reveal whether an image exists.
func (r *Registry) refused(ctx context.Context, ref name.Reference, answer *transport.Error) error {
	image, host := show(ref), shownHost(ref.Context().RegistryStr())
	// Resolved before, so this is cached and cannot fail now.
	auth, err := r.keys.ResolveContext(ctx, ref.Context())
	anonymous := err == nil && auth == authn.Anonymous
	// With a token, the access was refused; without one, the credentials.
	token := answer.Request != nil && strings.HasPrefix(answer.Request.Header.Get("Authorization"), "Bearer ")
	noAccess := errors.Join(runtime.ErrNotFound, runtime.ErrNoAccess) // the image does not exist, or is private
	switch {
	case anonymous && r.own(ref.Context()):
		return fmt.Errorf("image %s: %w", image, common(nil, "registry %s requires credentials, and none were found for it%s: run \"%s\"", host, said(answer), login(host)))
	case anonymous:
		return fmt.Errorf("image %s: %w", image, common(noAccess, "%v in registry %s, or private%s: check the name, or run \"%s\"",
			runtime.ErrNotFound, host, said(answer), login(host)))
	case token:
		return fmt.Errorf("image %s: %w", image, common(noAccess, "%v in registry %s, or the credentials for it do not give access%s: check the name, or run \"%s\"",
			runtime.ErrNotFound, host, said(answer), login(host)))
	}
	return fmt.Errorf("image %s: %w", image, common(runtime.ErrNoAccess, "registry %s rejected the credentials for it%s: run \"%s\"", host, said(answer), login(host)))
}

func isRefused(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden)
}

// isFull reports whether a registry has no space left, according to its error messages.
func isFull(err error) bool {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return false
	}
	if answer.StatusCode == http.StatusInsufficientStorage {
		return true
	}
	for _, e := range answer.Errors {
		text := strings.ToLower(fmt.Sprint(e.Message, " ", e.Detail))
		for _, word := range []string{"no space left", "disk is full", "disk full", "disk quota", "quota exceed", "exceeded quota", "exceed the configured upper limit", "storage quota"} {
			if strings.Contains(text, word) {
				return true
			}
		}
	}
	return false
}

// unanswered returns the reason why a registry did not answer.
func unanswered(host string, err error) string {
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError

		invalid x509.CertificateInvalidError
		op      *net.OpError
		out     net.Error

		stalled *stall.Error
	)
	// If TLS was tried first and plain HTTP after it, err joins two errors, and the first one
	// counts.
	err = withoutURL(err)
	switch {
	case errors.Is(err, errNeedTLS):
		return fmt.Sprintf("registry %s is to be used without TLS, which is only allowed on loopback", host)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("registry %s cannot be reached: no such host: check its name", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of registry %s is not valid now: %v: check the clock of this machine, or ask the operator of the registry", host, invalid)
	case errors.As(err, &cert):
		return fmt.Sprintf("the certificate of registry %s is not trusted: %v: add its certificate authority to this system", host, cert.Err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Sprintf("registry %s does not use TLS, which is only accepted on loopback: check its port", host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("registry %s cannot be reached: connection refused: check that it is running, and its address", host)
	case errors.As(err, &stalled), errors.As(err, &out) && out.Timeout():
		return fmt.Sprintf("registry %s does not respond: check the network and its address", host)
	case isCut(err), errors.Is(err, net.ErrClosed):
		return fmt.Sprintf("registry %s ends its connections too early: try again, or ask its operator", host)
	case errors.As(err, &op):
		return fmt.Sprintf("registry %s cannot be reached: %v: check the network and its address", host, op.Err)
	}
	return fmt.Sprintf("registry %s: %v", host, err)
}

// isCut reports whether a connection ended in the middle of a request or an answer.
func isCut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// sentence describes err for an event: briefly, without URL and credentials.
func sentence(err error) string {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return fmt.Sprintf("%d %s%s", answer.StatusCode, http.StatusText(answer.StatusCode), said(answer))
	}
	return withoutURL(err).Error()
}

// withoutURL returns the error of a request without its URL.
func withoutURL(err error) error {
	var at *url.Error
	for errors.As(err, &at) {
		err = at.Err
	}
	return err
}

// said returns the message in a registry's answer, in parentheses, or an empty string.
func said(answer *transport.Error) string {
	var all []string
	for _, e := range answer.Errors {
		if text := strings.Join(strings.Fields(e.Message), " "); text != "" {
			all = append(all, text)
		}
	}
	text := strings.Join(all, "; ")
	if text == "" {
		return ""
	}
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return " (" + text + ")"
}

// show formats a reference as people write it.
func show(ref name.Reference) string {
	repo := ref.Context()
	path := repo.RepositoryStr()
	if repo.RegistryStr() == name.DefaultRegistry {
		path = strings.TrimPrefix(path, "library/")
	} else {
		path = repo.RegistryStr() + "/" + path
	}
	if _, ok := ref.(name.Digest); ok {
		return path + "@" + ref.Identifier()
	}
	return path + ":" + ref.Identifier()
}

func shownHost(host string) string {
	if host == name.DefaultRegistry {
		return "docker.io"
	}
	return host
}

func login(host string) string {
	if host == "docker.io" {
		return "docker login"
	}
	return "docker login " + host
}
