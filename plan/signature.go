package plan

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// A Signing says with which key, or as whom, the images that a pipeline builds are signed (I15).
type Signing struct {
	Key      SecretRef  `json:"key,omitzero"`       // a private key in PEM, plain or as cosign encrypts it
	Password *SecretRef `json:"password,omitempty"` // of an encrypted key; nil: an empty one
	Keyless  *Keyless   `json:"keyless,omitempty"`  // instead of a key
	Pos      Pos        `json:"pos"`                // of the call of signing_key() or keyless()
}

// A Keyless says as whom images are signed without a key.
type Keyless struct {
	Identity
	// SigningConfig says where the services that sign are: the JSON of a signing config of Sigstore.
	// Empty: those of the public instance.
	SigningConfig string `json:"signing_config,omitempty"`
}

// An Identity may sign without a key: a provider of OpenID Connect authenticates it, and a certificate
// authority of Sigstore certifies that (I15, I16).
type Identity struct {
	Issuer string `json:"issuer"`           // the address of the provider
	Name   string `json:"name,omitempty"`   // the address of a workflow, or an e-mail address
	Regexp string `json:"regexp,omitempty"` // instead of Name: it must match all of the name
	// TrustedRoot says whose certificates and logs count: the JSON of a trusted root of Sigstore.
	// Empty: those of the public instance.
	TrustedRoot string `json:"trusted_root,omitempty"`
}

// Covers reports whether a signature of an identity with a name counts as one of i.
func (i Identity) Covers(of Identity) bool {
	if i.Issuer != of.Issuer || i.TrustedRoot != of.TrustedRoot || of.Name == "" {
		return false
	}
	if i.Regexp == "" {
		return i.Name == of.Name
	}
	pattern, err := regexp.Compile("^(?:" + i.Regexp + ")$")
	return err == nil && pattern.MatchString(of.Name)
}

// Signers may sign an image: the holders of keys, and identities.
type Signers struct {
	Keys       []string // public keys in PEM
	Identities []Identity
}

// None reports whether there is no signer.
func (s Signers) None() bool { return len(s.Keys)+len(s.Identities) == 0 }

// Covers reports whether a signature of any of others counts as one of s.
func (s Signers) Covers(others Signers) bool {
	for _, key := range others.Keys {
		if slices.Contains(s.Keys, key) {
			return true
		}
	}
	for _, of := range others.Identities {
		if slices.ContainsFunc(s.Identities, func(i Identity) bool { return i.Covers(of) }) {
			return true
		}
	}
	return false
}

// String identifies the signers: equal ones have equal strings.
func (s Signers) String() string {
	text := strings.Join(s.Keys, "")
	for _, i := range s.Identities {
		text += fmt.Sprintf("%q %q %q %q\n", i.Issuer, i.Name, i.Regexp, i.TrustedRoot)
	}
	return text
}

// Refs returns the secrets of s, which may be nil.
func (s *Signing) Refs() []SecretRef {
	switch {
	case s == nil, s.Keyless != nil:
		return nil
	case s.Password == nil:
		return []SecretRef{s.Key}
	}
	return []SecretRef{s.Key, *s.Password}
}

// A SignatureRule says which images must be signed, and by whom (I16). An image that several
// rules cover needs a signature for each.
type SignatureRule struct {
	// Images are patterns of complete names of images, such as "docker.io/library/*", in which *
	// stands for any characters, also slashes.
	Images  []string `json:"images"`
	Exclude []string `json:"exclude,omitempty"` // patterns of images that the rule does not cover
	Keys    []string `json:"keys,omitempty"`    // public keys in PEM
	// Identities sign without a key. One of them, or of the keys, must have signed.
	Identities []Identity `json:"identities,omitempty"`
	Pos        Pos        `json:"pos"` // of the call of signed()
}

// Signers returns those whose signatures the rule accepts.
func (r SignatureRule) Signers() Signers { return Signers{Keys: r.Keys, Identities: r.Identities} }

// Covers reports whether the rule applies to an image, by its complete name (I16).
func (r SignatureRule) Covers(image string) bool {
	name := FullName(image)
	matches := func(pattern string) bool {
		host, path, ok := strings.Cut(pattern, "/")
		if ok {
			pattern = registryName(host) + "/" + path
		}
		return matchName(pattern, name)
	}
	return slices.ContainsFunc(r.Images, matches) && !slices.ContainsFunc(r.Exclude, matches)
}

// FullName returns the complete name of an image, without its tag and digest, such as
// "docker.io/library/redis" for "redis:7". It is the same for all names of a repository: the port
// that is the default is not part of it.
func FullName(image string) string {
	name, _, _ := CutImage(image)
	host, path, ok := strings.Cut(name, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" && !strings.HasPrefix(host, "[") {
		host, path = dockerHub, name
	}
	if host = registryName(host); host == dockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return host + "/" + path
}

const dockerHub = "docker.io"

// registryName returns the one name of a registry that has several, such as "ghcr.io" for
// "GHCR.io:443".
func registryName(host string) string {
	host = strings.ToLower(host)
	if alone, ok := strings.CutSuffix(host, ":443"); ok && !isLoopback(alone) {
		host = alone
	} else if alone, ok := strings.CutSuffix(host, ":80"); ok && isLoopback(alone) { // is read without TLS
		host = alone
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return dockerHub
	}
	return host
}

// isLoopback reports whether a host without its port is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// matchName reports whether name matches a pattern in which * stands for any characters. It
// takes time proportional to the product of the lengths at most.
func matchName(pattern, name string) bool {
	first, rest, ok := strings.Cut(pattern, "*")
	name, begins := strings.CutPrefix(name, first)
	if !ok || !begins {
		return begins && name == ""
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, last)
}

// Why a string is not a public key that can be used.
var (
	ErrPrivateKey = errors.New("it is a private key")
	ErrNotPEM     = errors.New("it is not a public key in PEM")
	ErrManyKeys   = errors.New("it is more than one key")
)

const publicKeyType = "PUBLIC KEY"

// ParsePublicKey returns the key of a PEM block: an *ecdsa.PublicKey of the curve P-256, an
// ed25519.PublicKey, or an *rsa.PublicKey of 2048 to 8192 bits. Errors do not show the string.
func ParsePublicKey(text string) (any, error) {
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, ErrPrivateKey
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		return nil, ErrNotPEM
	}
	if block.Type != publicKeyType {
		return nil, fmt.Errorf("%w: it is a block %q", ErrNotPEM, block.Type[:min(len(block.Type), 40)])
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, ErrManyKeys
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: its content is damaged", ErrNotPEM)
	}
	if err := CheckPublicKey(key); err != nil {
		return nil, err
	}
	return key, nil
}

// CheckPublicKey returns an error if signatures of a public key cannot be made or verified.
func CheckPublicKey(key any) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return fmt.Errorf("a key of the curve %s cannot be used", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 8192 {
			return fmt.Errorf("an RSA key of %d bits cannot be used", bits)
		}
	default:
		return errors.New("a key of this type cannot be used")
	}
	return nil
}

// FormatPublicKey returns a public key in PEM: the form that [SignatureRule] has.
func FormatPublicKey(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: publicKeyType, Bytes: der})), nil
}
