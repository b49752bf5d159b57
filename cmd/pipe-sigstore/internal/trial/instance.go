// Package trial is an instance of Sigstore in this process: Fulcio, with a log of certificates, a transparency log, a
// timestamp authority and a provider of identity tokens. They speak the protocols of the real ones and sign with keys of
// their own, so that everything that is verified is really signed.
package trial

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
)

// An Instance is an instance of Sigstore. The fields can be changed between requests.
type Instance struct {
	URL string

	// Skew is by how much the clock of the instance is ahead.
	Skew time.Duration
	// Unlogged certificates are in no log of certificates.
	Unlogged bool
	// Answer, by path, is an HTTP status that is answered instead.
	Answer map[string]int

	authority, stamps *authority
	certificates      *ecdsa.PrivateKey // of the log of certificates
	issuer            *ecdsa.PrivateKey // of tokens
	virtual           *ca.VirtualSigstore
	server            *httptest.Server
}

// New starts an instance, which Close ends.
func New() (*Instance, error) {
	i := &Instance{certificates: newKey(), issuer: newKey(), Answer: make(map[string]int)}
	var err error
	if i.authority, err = newAuthority(time.Now()); err != nil {
		return nil, err
	}
	if i.stamps, err = i.authority.stamper(time.Now()); err != nil {
		return nil, err
	}
	if i.virtual, err = ca.NewVirtualSigstore(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /token":               i.serveToken,
		"POST /api/v2/signingCert": i.serveCertificate,
		"POST /api/v1/log/entries": i.serveEntry,
		"POST /api/v1/timestamp":   i.serveTimestamp,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", i.now().UTC().Format(http.TimeFormat))
			if status := i.Answer[r.URL.Path]; status != 0 {
				http.Error(w, "out of order, said the server to "+r.Header.Get("Authorization"), status)
				return
			}
			if err := serve(w, r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
	}
	i.server = httptest.NewServer(mux)
	i.URL = i.server.URL
	return i, nil
}

// Close ends the instance.
func (i *Instance) Close() { i.server.Close() }

func (i *Instance) now() time.Time { return time.Now().Add(i.Skew) }

func number(data []byte) *big.Int { return new(big.Int).SetBytes(data) }

// TrustedRoot returns the trusted root of the instance, in JSON.
func (i *Instance) TrustedRoot() ([]byte, error) {
	from, to := time.Now().Add(-longValidity), time.Now().Add(longValidity)
	log := func(url string, key crypto.PublicKey) (map[string]*root.TransparencyLog, error) {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		id := sha256.Sum256(der)
		return map[string]*root.TransparencyLog{hex.EncodeToString(id[:]): {
			BaseURL: url, ID: id[:], HashFunc: crypto.SHA256, PublicKey: key, SignatureHashFunc: crypto.SHA256,
			ValidityPeriodStart: from, ValidityPeriodEnd: to,
		}}, nil
	}
	certificates, err := log(i.URL, i.certificates.Public())
	if err != nil {
		return nil, err
	}
	var entries map[string]*root.TransparencyLog
	for _, of := range i.virtual.RekorLogs() {
		if entries, err = log(of.BaseURL, of.PublicKey); err != nil {
			return nil, err
		}
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: i.authority.cert, ValidityPeriodStart: from, ValidityPeriodEnd: to, URI: i.URL}},
		certificates,
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{Root: i.authority.cert, Leaf: i.stamps.cert, ValidityPeriodStart: from, ValidityPeriodEnd: to, URI: i.URL}},
		entries)
	if err != nil {
		return nil, err
	}
	return json.Marshal(trusted)
}

// SigningConfig returns where the services of the instance are, in JSON.
func (i *Instance) SigningConfig() ([]byte, error) {
	at := func(path string) []root.Service {
		return []root.Service{{URL: i.URL + path, MajorAPIVersion: 1, ValidityPeriodStart: time.Now().Add(-longValidity), Operator: "trial"}}
	}
	one := root.ServiceConfiguration{Selector: prototrustroot.ServiceSelector_ANY}
	config, err := root.NewSigningConfig(root.SigningConfigMediaType02, at(""), at("/token"), at(""), one, at("/api/v1/timestamp"), one)
	if err != nil {
		return nil, err
	}
	return json.Marshal(config)
}

// TokenURL is the address at which a job of CI requests its token, for a workflow or an e-mail address.
func (i *Instance) TokenURL(who string) string { return fmt.Sprintf("%s/token?who=%s", i.URL, who) }

// Bearer is what a job of CI requests its token with.
const Bearer = "request-token-of-this-trial"
