package trial

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	"github.com/google/certificate-transparency-go/x509util"
)

// Extensions of certificates: the issuer in both of the forms that Fulcio writes, the timestamps of a log
// of certificates, and the usage of a key.
var (
	oldIssuerOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}
	issuerOID    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}
	sctOID       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	usageOID     = asn1.ObjectIdentifier{2, 5, 29, 37}
	timeOID      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
)

const (
	validity     = 10 * time.Minute // of the certificates of signers
	longValidity = 24 * time.Hour   // of those of the authority
)

// An authority has a certificate and its key.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newKey panics instead of returning an error, as nothing can be tried without a key.
func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// issue returns a certificate for a key.
func (a *authority) issue(template *x509.Certificate, public any) (*x509.Certificate, error) {
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// template returns what certificates have in common.
func template(name string, from, to time.Time) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"trial"}},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// newAuthority returns an authority that signs its own certificate.
func newAuthority(now time.Time) (*authority, error) {
	a := &authority{key: newKey()}
	root := template("trial root", now.Add(-longValidity), now.Add(longValidity))
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	var err error
	a.cert, err = a.issue(root, a.key.Public())
	return a, err
}

// stamper returns the authority of timestamps that a certifies.
func (a *authority) stamper(now time.Time) (*authority, error) {
	s := &authority{key: newKey()}
	t := template("trial timestamps", now.Add(-longValidity), now.Add(longValidity))
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{timeOID})
	if err != nil {
		return nil, err
	}
	t.ExtraExtensions = []pkix.Extension{{Id: usageOID, Critical: true, Value: usage}}
	s.cert, err = a.issue(t, s.key.Public())
	return s, err
}

// certify returns the certificate of a signer, with the timestamp of the log whose key is ct, unless that
// is nil.
func (a *authority) certify(who Claims, public any, now time.Time, log *ecdsa.PrivateKey) (*x509.Certificate, error) {
	t := template("", now.Add(-time.Minute), now.Add(validity))
	t.Subject = pkix.Name{}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	if err := who.name(t); err != nil {
		return nil, err
	}
	issuer, err := asn1.MarshalWithParams(who.Issuer, "utf8")
	if err != nil {
		return nil, err
	}
	t.ExtraExtensions = []pkix.Extension{{Id: oldIssuerOID, Value: []byte(who.Issuer)}, {Id: issuerOID, Value: issuer}}
	cert, err := a.issue(t, public)
	if err != nil || log == nil {
		return cert, err
	}
	list, err := sctList(cert, a.cert, log, now)
	if err != nil {
		return nil, err
	}
	t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: sctOID, Value: list})
	return a.issue(t, public)
}

// sctList returns the extension with the timestamp of a log for a certificate that has none yet.
func sctList(cert, issuer *x509.Certificate, log *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(log.Public())
	if err != nil {
		return nil, err
	}
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: sha256.Sum256(public)}, Timestamp: uint64(now.UnixMilli())}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: ct.MerkleTreeLeaf{
		Version: ct.V1, LeafType: ct.TimestampedEntryLeafType,
		TimestampedEntry: &ct.TimestampedEntry{
			Timestamp: sct.Timestamp, EntryType: ct.PrecertLogEntryType,
			PrecertEntry: &ct.PreCert{IssuerKeyHash: sha256.Sum256(issuer.RawSubjectPublicKeyInfo), TBSCertificate: cert.RawTBSCertificate},
		},
	}})
	if err != nil {
		return nil, err
	}
	signed, err := tls.CreateSignature(*log, tls.SHA256, input)
	if err != nil {
		return nil, err
	}
	sct.Signature = ct.DigitallySigned(signed)
	list, err := x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&sct})
	if err != nil {
		return nil, err
	}
	raw, err := tls.Marshal(*list)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(raw)
}
