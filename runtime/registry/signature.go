package registry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The formats of signatures. In that of cosign before version 3, a manifest at the tag
// sha256-HEX.sig has a layer for each signature: the layer is what is signed, and the signature
// is an annotation of it. In the later one, each signature is a bundle of Sigstore, in a manifest
// that refers to the image.
const (
	signatureSuffix     = ".sig"
	simpleSigning       = types.MediaType("application/vnd.dev.cosign.simplesigning.v1+json")
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	// certificateAnnotation is what a signature without a key has in addition.
	certificateAnnotation = "dev.sigstore.cosign/certificate"
	signatureType         = "cosign container image signature"

	emptyType      = "application/vnd.oci.empty.v1+json" // of the config of such a manifest
	signPredicate  = "https://sigstore.dev/cosign/sign/v1"
	statementStart = "https://in-toto.io/Statement/"
)

// Limits of what is read to verify one image.
const (
	maxSignatures        = 100 // of one manifest, or of one list
	maxSignatureManifest = 4 << 20
	maxPayload           = 64 << 10
	maxBundle            = 1 << 20
	maxBundles           = 16 << 20 // of all that have certificates together
)

// signs reports whether a signature of a message was made by a key.
func signs(key crypto.PublicKey, message, signature []byte) bool {
	hash := sha256.Sum256(message)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, hash[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], signature) == nil
	case ed25519.PublicKey:
		long := sha512.Sum512(message) // which some versions of cosign sign
		return ed25519.Verify(key, message, signature) ||
			ed25519.VerifyWithOptions(key, long[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	}
	return false
}

// anySigns reports whether a signature of a message was made by one of the keys.
func anySigns(keys []crypto.PublicKey, message, signature []byte) bool {
	for _, key := range keys {
		if signs(key, message, signature) {
			return true
		}
	}
	return false
}

// A payload is what a signature in the older format signs.
type payload struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

// Why a signature does not count.
var (
	errOtherKey = errors.New("another key has signed it")
	errOther    = errors.New("the key has signed something else")
	errKeyless  = errors.New("it was signed without a key: identity= and issuer= say by whom")
	// cosign 3 writes bundles.
	errOldKeyless = errors.New("it was signed without a key in the format of cosign 2, which is not read: sign it with cosign 3")
)

// otherDigest returns why a signature of another image does not count.
func otherDigest(digest string) error {
	if _, err := v1.NewHash(digest); err != nil {
		return errOther
	}
	return fmt.Errorf("the key has signed %s", digest)
}

// checkPayload returns why a signature of a payload in the older format does not say that one of
// the keys has signed the image.
func checkPayload(image v1.Hash, keys []crypto.PublicKey, message []byte, encoded string) error {
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(signature) == 0 {
		return errors.New("a signature is not base64")
	}
	if !anySigns(keys, message, signature) {
		return errOtherKey
	}
	var p payload
	if json.Unmarshal(message, &p) != nil || p.Critical.Type != signatureType {
		return errOther
	}
	if p.Critical.Image.Digest != image.String() {
		return otherDigest(p.Critical.Image.Digest)
	}
	return nil
}

// A bundle is what pipe reads of a bundle of Sigstore.
type bundle struct {
	Material struct {
		Certificate json.RawMessage `json:"certificate"`
		Chain       json.RawMessage `json:"x509CertificateChain"` // in older versions
	} `json:"verificationMaterial"`
	Envelope *struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			Signature []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
}

// hasCertificate reports whether a bundle says that it was signed without a key.
func hasCertificate(raw []byte) bool {
	var b bundle
	has := func(field json.RawMessage) bool { return len(field) > 0 && string(field) != "null" }
	return json.Unmarshal(raw, &b) == nil && (has(b.Material.Certificate) || has(b.Material.Chain))
}

// An inToto is the statement that the envelope of a bundle signs.
type inToto struct {
	Type      string `json:"_type"`
	Predicate string `json:"predicateType"`
	Subject   []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
}

// checkBundle returns why a bundle does not say that one of the keys has signed the image.
func checkBundle(image v1.Hash, keys []crypto.PublicKey, raw []byte) error {
	var b bundle
	if json.Unmarshal(raw, &b) != nil {
		return errors.New("a signature is damaged")
	}
	if b.Envelope == nil || b.Envelope.PayloadType != inTotoType || len(b.Envelope.Signatures) == 0 {
		return errors.New("a signature has an unknown form")
	}
	signed := false
	message := encoded(b.Envelope.PayloadType, b.Envelope.Payload)
	for _, s := range b.Envelope.Signatures[:min(len(b.Envelope.Signatures), maxSignatures)] {
		signed = signed || anySigns(keys, message, s.Signature)
	}
	if !signed {
		return errOtherKey
	}
	var s inToto
	if json.Unmarshal(b.Envelope.Payload, &s) != nil || !strings.HasPrefix(s.Type, statementStart) || s.Predicate != signPredicate || len(s.Subject) == 0 {
		return errOther // such as provenance
	}
	for _, of := range s.Subject {
		if of.Digest[image.Algorithm] == image.Hex {
			return nil
		}
	}
	return otherDigest("sha256:" + s.Subject[0].Digest["sha256"])
}

// encoded returns what an envelope of DSSE signs.
func encoded(kind string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "DSSEv1 %d %s %d ", len(kind), kind, len(body))
	b.Write(body)
	return b.Bytes()
}
