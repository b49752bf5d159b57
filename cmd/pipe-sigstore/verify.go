package main

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// maxReasons is how many reasons a response has.
const maxReasons = 5

// verifyAll returns why none of the bundles is a signature of the image by one of the identities.
func verifyAll(trust *trust, in verifyRequest) (found []string, err error) {
	digest, err := parseDigest(in.Digest)
	if err != nil {
		return nil, err
	}
	roots := make(map[string][]identity) // the identities of each trusted root
	for _, id := range in.Identities {
		roots[id.TrustedRoot] = append(roots[id.TrustedRoot], id)
	}
	for _, text := range slices.Sorted(maps.Keys(roots)) {
		trusted, err := trust.root(text)
		if err != nil {
			return nil, err
		}
		v := newVerifier(trusted)
		for _, raw := range in.Bundles {
			why := v.check(digest, roots[text], raw)
			if why == nil {
				return nil, nil
			}
			if text := why.Error(); !slices.Contains(found, text) && len(found) < maxReasons {
				found = append(found, text)
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.New("the request has no bundle or no identity")
	}
	return found, nil
}

func parseDigest(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, "sha256:")
	digest, err := hex.DecodeString(encoded)
	if !ok || err != nil || len(digest) != 32 {
		return nil, fmt.Errorf("%q is not a digest of SHA-256", text)
	}
	return digest, nil
}

// A verifier verifies bundles with one trusted root.
type verifier struct {
	trusted *root.TrustedRoot
	options []verify.VerifierOption
}

// newVerifier returns a verifier that requires a certificate in a log of certificates, an entry in a
// transparency log if the root has one, and a timestamp of a log or of an authority.
func newVerifier(trusted *root.TrustedRoot) *verifier {
	v := &verifier{trusted: trusted, options: []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1)}}
	if len(trusted.RekorLogs()) > 0 {
		v.options = append(v.options, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	} else {
		v.options = append(v.options, verify.WithSignedTimestamps(1))
	}
	return v
}

// Why a bundle does not count.
var (
	errDamaged = errors.New("a signature is damaged")
	errWithKey = errors.New("a key has signed it, not an identity")
	errOther   = errors.New("the identity has signed something else") // such as provenance
)

// check returns why a bundle is not a signature of the image by one of the identities. Everything is
// verified by [verify.Verifier.Verify]; what comes after it only says why it has failed.
func (v *verifier) check(digest []byte, identities []identity, raw []byte) error {
	b := &bundle.Bundle{}
	if b.UnmarshalJSON(raw) != nil {
		return errDamaged
	}
	content, err := b.VerificationContent()
	if err != nil {
		return errDamaged
	}
	cert := content.Certificate()
	if cert == nil {
		return errWithKey
	}
	var policy []verify.PolicyOption
	for _, id := range identities {
		pattern := id.Regexp
		if pattern != "" {
			pattern = "^(?:" + pattern + ")$" // it must match all of the name, whoever wrote the request
		}
		of, err := verify.NewShortCertificateIdentity(id.Issuer, "", id.Name, pattern)
		if err != nil || id.Issuer == "" || (id.Name == "") == (id.Regexp == "") {
			return fmt.Errorf("%s is not an identity", id)
		}
		policy = append(policy, verify.WithCertificateIdentity(of))
	}
	all, err := verify.NewVerifier(v.trusted, v.options...)
	if err != nil {
		return err
	}
	result, err := all.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), policy...))
	if err != nil {
		return v.why(all, b, cert, digest, err)
	}
	if result.VerifiedIdentity == nil || result.Statement == nil || result.Statement.GetPredicateType() != predicateType {
		return errOther
	}
	return nil
}

// why says why a bundle could not be verified.
func (v *verifier) why(all *verify.Verifier, b *bundle.Bundle, cert *x509.Certificate, digest []byte, err error) error {
	of, failed := certificate.SummarizeCertificate(cert)
	if failed != nil {
		return errDamaged
	}
	who := identity{Name: of.SubjectAlternativeName, Issuer: of.Issuer}
	var other *verify.ErrNoMatchingCertificateIdentity
	if errors.As(err, &other) { // everything else is valid
		return fmt.Errorf("%s has signed it", who)
	}
	entries, failed := all.VerifyTransparencyLogInclusion(b)
	if failed != nil {
		if times, err := b.TlogEntries(); err == nil {
			for _, entry := range times {
				if why := outside(cert, entry.IntegratedTime(), "the transparency log"); why != nil {
					return why
				}
			}
		}
		return fmt.Errorf("the signature of %s is not in a transparency log of the trusted root: %w", who, failed)
	}
	times, failed := all.VerifyObserverTimestamps(b, entries)
	if failed != nil {
		return fmt.Errorf("the signature of %s has no timestamp of an authority of the trusted root: %w", who, failed)
	}
	for _, at := range times {
		if why := outside(cert, at.Timestamp, at.URI); why != nil {
			return why
		}
	}
	var chain [][]*x509.Certificate
	for _, ca := range v.trusted.FulcioCertificateAuthorities() {
		for _, at := range times {
			if found, err := ca.Verify(cert, at.Timestamp); err == nil {
				chain = found
			}
		}
	}
	if chain == nil {
		return fmt.Errorf("the certificate of %s is not one of the trusted root", who)
	}
	if failed := verify.VerifySignedCertificateTimestamp(chain, 1, v.trusted); failed != nil {
		return fmt.Errorf("the certificate of %s is not in a log of certificates of the trusted root: %w", who, failed)
	}
	if subject := signed(b); subject != "" && subject != hex.EncodeToString(digest) {
		return fmt.Errorf("%s has signed sha256:%s", who, subject)
	}
	return fmt.Errorf("the signature of %s is not valid: %w", who, err)
}

// outside returns an error if a certificate was not valid when something was signed with it.
func outside(cert *x509.Certificate, at time.Time, by string) error {
	if at.IsZero() || !at.Before(cert.NotBefore) && !at.After(cert.NotAfter) {
		return nil
	}
	return fmt.Errorf("it was signed at %s, as %s says, but the certificate is valid from %s to %s only: a clock was wrong, or the certificate had expired",
		at.UTC().Format(time.RFC3339), by, cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
}

// signed returns the digest of the first image that a bundle is about; "": it is about none.
func signed(b *bundle.Bundle) string {
	envelope, err := b.Envelope()
	if err != nil {
		return ""
	}
	statement, err := envelope.Statement()
	if err != nil || len(statement.GetSubject()) == 0 {
		return ""
	}
	digest := statement.GetSubject()[0].GetDigest()["sha256"]
	if _, err := parseDigest("sha256:" + digest); err != nil {
		return ""
	}
	return digest
}
