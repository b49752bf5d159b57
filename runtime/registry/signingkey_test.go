package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

func TestParseSigningKey(t *testing.T) {
	t.Parallel()
	encrypted, err := os.ReadFile(filepath.Join("testdata", "cosign", "cosign.key"))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(filepath.Join("testdata", "cosign", "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseSigningKey(string(encrypted), "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := plan.FormatPublicKey(key.Public()); err != nil || text != string(pub) {
		t.Errorf("the public key is %s, %v, want %s", text, err, pub)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	ec := newKey(t).(*ecdsa.PrivateKey)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ text, password, want string }{
		"pkcs8":          {block("PRIVATE KEY", pkcs8(ec)), "", ""},
		"sec1":           {block("EC PARAMETERS", []byte("x")) + block("EC PRIVATE KEY", sec1), "", ""},
		"no password":    {string(encrypted), "", "password is wrong"},
		"wrong password": {string(encrypted), "hunter3", "password is wrong"},
		"public":         {string(pub), "", "public key"},
		"empty":          {"", "", "not a private key"},
		"nonsense":       {"hunter2", "", "not a private key"},
		"damaged":        {block("PRIVATE KEY", []byte("hunter2")), "", "not a private key"},
		"not encrypted":  {block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("{}")), "", "password is wrong"},
		"openssl":        {block("ENCRYPTED PRIVATE KEY", []byte("hunter2")), "", "cosign import-key-pair"},
		"curve":          {block("PRIVATE KEY", pkcs8(p384)), "", "P-384"},
	} {
		key, err := ParseSigningKey(test.text, test.password)
		switch {
		case test.want == "" && (err != nil || !ec.Equal(key)):
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		case err != nil && strings.Contains(err.Error(), "hunter"):
			t.Errorf("%s: error %q shows the key", name, err)
		}
	}
}
