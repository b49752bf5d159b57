package registry

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/pipelinefile/pipe/plan"
)

// Why a private key cannot be used. Errors never show a part of it.
var (
	errNoKey        = errors.New("it is not a private key in PEM: create one with cosign generate-key-pair")
	errPublicKey    = errors.New("it is a public key: sign= needs the private one")
	errNeedPassword = errors.New("it is encrypted, and its password is wrong: give it with password= of signing_key()")
	errOtherCipher  = errors.New("it is encrypted in a form that cannot be used: convert it with cosign import-key-pair")
)

// ParseSigningKey returns the private key of a PEM block: as cosign encrypts it, in PKCS #8, or
// in the older forms of openssl.
func ParseSigningKey(text, password string) (crypto.Signer, error) {
	block, rest := pem.Decode([]byte(text))
	for block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam writes it before the key
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errNoKey
	}
	var key any
	err := errNoKey
	switch block.Type {
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		der, wrong := encrypted.Decrypt(block.Bytes, []byte(password))
		if wrong != nil {
			return nil, errNeedPassword
		}
		key, err = x509.ParsePKCS8PrivateKey(der)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		if isEncryptedBlock(block) {
			return nil, errOtherCipher
		}
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		if isEncryptedBlock(block) {
			return nil, errOtherCipher
		}
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errOtherCipher
	case "PUBLIC KEY":
		return nil, errPublicKey
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errNoKey // an error of the parser might quote the key
	}
	if err := plan.CheckPublicKey(signer.Public()); err != nil {
		return nil, err
	}
	return signer, nil
}

// isEncryptedBlock reports whether openssl has encrypted a block in its older form.
func isEncryptedBlock(block *pem.Block) bool {
	return strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}
