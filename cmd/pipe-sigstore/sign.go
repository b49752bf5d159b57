package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"
)

// What cosign signs: a statement of in-toto about the digest, without content of its own.
const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://sigstore.dev/cosign/sign/v1"
)

const (
	serviceTimeout = 30 * time.Second
	serviceRetries = 2
)

// A statement says that an image is signed.
type statement struct {
	Type      string         `json:"_type"`
	Subject   []subject      `json:"subject"`
	Predicate string         `json:"predicateType"`
	Content   map[string]any `json:"predicate"`
}

type subject struct {
	Digest map[string]string `json:"digest"`
}

// sign returns a signature of an image, as a bundle of Sigstore. It requests a certificate for a key that
// is made for this signature only, and never stored.
func (a *app) sign(ctx context.Context, trust *trust, in signRequest) ([]byte, error) {
	digest, err := parseDigest(in.Digest)
	if err != nil {
		return nil, err
	}
	trusted, err := trust.root(in.Identity.TrustedRoot)
	if err != nil {
		return nil, err
	}
	config, err := trust.signingConfig(in.SigningConfig)
	if err != nil {
		return nil, err
	}
	token, err := a.token(ctx)
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(statement{
		Type: statementType, Subject: []subject{{Digest: map[string]string{"sha256": hex.EncodeToString(digest)}}},
		Predicate: predicateType, Content: map[string]any{},
	})
	if err != nil {
		return nil, err
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	with, services, err := signers(ctx, config, token, in.Identity)
	if err != nil {
		return nil, err
	}
	made, err := sign.Bundle(&sign.DSSEData{Data: payload, PayloadType: payloadType}, key, with)
	if err != nil {
		return nil, services.explain(err, token)
	}
	raw, err := protojson.Marshal(made)
	if err != nil {
		return nil, err
	}
	// Whoever verifies the signature later does the same.
	if why := newVerifier(trusted).check(digest, []identity{in.Identity}, raw); why != nil {
		return nil, &failure{
			Message: fmt.Sprintf("what Fulcio at %s and the other services of signing_config= have signed does not count for trusted_root=: %v", services.fulcio.url, why),
			Do:      "use a trusted_root= and a signing_config= of the same instance of Sigstore",
		}
	}
	return raw, nil
}

// services are what a signature is made with.
type services struct {
	fulcio *service
	all    []*service
}

// signers returns the services of a config that sign for a token.
func signers(ctx context.Context, config *root.SigningConfig, token idToken, as identity) (with sign.BundleOptions, s *services, err error) {
	now := time.Now()
	s = &services{}
	incomplete := func(what string, err error) error {
		return &failure{Message: fmt.Sprintf("signing_config= names no %s that can be used now: %v", what, err), Do: "add one, or correct its version and the time for which it is valid (validFor); and check the clock of this machine"}
	}
	with.Context = ctx
	fulcio, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return with, nil, incomplete("Fulcio (caUrls)", err)
	}
	s.fulcio = s.add("Fulcio", fulcio.URL)
	with.CertificateProvider = &identified{
		from: sign.NewFulcio(&sign.FulcioOptions{BaseURL: strings.TrimSuffix(fulcio.URL, "/"), Timeout: serviceTimeout, Retries: serviceRetries, Transport: s.fulcio}),
		as:   as,
	}
	with.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: token.text}
	if urls := config.TimestampAuthorityURLs(); len(urls) > 0 {
		selected, err := root.SelectServices(urls, config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, now)
		if err != nil {
			return with, nil, incomplete("timestamp authority (tsaUrls)", err)
		}
		for _, of := range selected {
			with.TimestampAuthorities = append(with.TimestampAuthorities, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{
				URL: of.URL, Timeout: serviceTimeout, Retries: serviceRetries, Transport: s.add("the timestamp authority", of.URL),
			}))
		}
	}
	if urls := config.RekorLogURLs(); len(urls) > 0 {
		selected, err := root.SelectServices(urls, config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
		if err != nil {
			return with, nil, incomplete("transparency log (rekorTlogUrls)", err)
		}
		for _, of := range selected {
			with.TransparencyLogs = append(with.TransparencyLogs, &logged{
				to: sign.NewRekor(&sign.RekorOptions{BaseURL: strings.TrimSuffix(of.URL, "/"), Timeout: serviceTimeout, Retries: serviceRetries, Version: of.MajorAPIVersion}),
				at: s.add("the transparency log", of.URL),
			})
		}
	}
	return with, s, nil
}

func (s *services) add(kind, url string) *service {
	of := &service{kind: kind, url: url}
	s.all = append(s.all, of)
	return of
}

// A service is called with HTTP. It keeps how it has answered last.
type service struct {
	kind, url string
	err       error // why it could not be reached, or what it has answered
	status    int
	ahead     time.Duration // by which the clock of this machine is ahead of the one of the service
}

// RoundTrip implements [http.RoundTripper].
func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	s.err, s.status = err, 0
	if err != nil {
		return nil, err
	}
	s.status = answer.StatusCode
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		s.ahead = time.Since(at)
	}
	return answer, nil
}

// explain says which of the services has not signed, and why.
func (s *services) explain(err error, token idToken) error {
	var is *failure
	for _, of := range s.all {
		if ahead := of.ahead; ahead.Abs() > clockSkew {
			word := "ahead of"
			if ahead < 0 {
				word = "behind"
			}
			is = &failure{
				Message: fmt.Sprintf("%s at %s: %s: the clock of this machine is %s %s its clock", of.kind, of.url, token.hide(err.Error()), ahead.Abs().Round(time.Minute), word),
				Do:      "set the clock of this machine",
			}
		}
	}
	var other *otherIdentityError
	for _, of := range s.all {
		switch {
		case is != nil:
		case errors.As(err, &other):
			is = &failure{Message: other.Error(), Do: "correct identity= and issuer= of keyless(), or run the job whose identity they name"}
		case of.err != nil:
			is = &failure{
				Message: fmt.Sprintf("%s at %s cannot be reached: %s", of.kind, of.url, token.hide(of.err.Error())),
				Do:      "run again when it can be reached; a proxy is that of HTTPS_PROXY; the addresses are those of signing_config=, or the public ones",
			}
		case of.status >= http.StatusInternalServerError, of.status == http.StatusTooManyRequests:
			is = &failure{
				Message: fmt.Sprintf("%s at %s has answered %d %s", of.kind, of.url, of.status, http.StatusText(of.status)),
				Do:      "run again when it works",
			}
		case of.status >= http.StatusBadRequest:
			is = &failure{
				Message: fmt.Sprintf("%s at %s has refused to sign: %s", of.kind, of.url, token.hide(err.Error())),
				Do:      "check that it accepts the identity tokens of this CI, and that the token is for the audience " + audience,
			}
		}
	}
	if is == nil {
		return &failure{Message: token.hide(err.Error())}
	}
	return is
}

// identified requests certificates, and refuses those of others before anything is signed with them.
type identified struct {
	from *sign.Fulcio
	as   identity
}

// GetCertificate implements [sign.CertificateProvider].
func (i *identified) GetCertificate(ctx context.Context, key sign.Keypair, opts *sign.CertificateProviderOptions) ([]byte, error) {
	der, err := i.from.GetCertificate(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	of, err := certificate.SummarizeCertificate(cert)
	if err != nil {
		return nil, err
	}
	if of.SubjectAlternativeName != i.as.Name || of.Issuer != i.as.Issuer {
		return nil, &otherIdentityError{has: identity{Name: of.SubjectAlternativeName, Issuer: of.Issuer}, want: i.as}
	}
	return der, nil
}

// An otherIdentityError means that the token is that of another identity than the plan names.
type otherIdentityError struct{ has, want identity }

func (e *otherIdentityError) Error() string {
	return fmt.Sprintf("the identity token is that of %s, but keyless() names %s", e.has, e.want)
}

// String names an identity.
func (i identity) String() string {
	if i.Regexp != "" {
		return fmt.Sprintf("%q (issuer %s)", i.Regexp, i.Issuer)
	}
	return fmt.Sprintf("%s (issuer %s)", i.Name, i.Issuer)
}

// logged writes to a transparency log, and keeps why it did not.
type logged struct {
	to *sign.Rekor
	at *service
}

// GetTransparencyLogEntry implements [sign.Transparency].
func (l *logged) GetTransparencyLogEntry(ctx context.Context, cert []byte, b *protobundle.Bundle) error {
	l.at.err = l.to.GetTransparencyLogEntry(ctx, cert, b)
	return l.at.err
}
