package trial

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"
)

// GitHub is the issuer of the tokens of workflows.
const GitHub = "https://token.actions.githubusercontent.com"

// Claims are what an identity token says.
type Claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	Workflow string `json:"job_workflow_ref,omitempty"` // of GitHub Actions
	Email    string `json:"email,omitempty"`
	Verified bool   `json:"email_verified,omitempty"`
}

// name writes who the claims are of into a certificate, as Fulcio does.
func (c Claims) name(t *x509.Certificate) error {
	if c.Workflow == "" {
		t.EmailAddresses = []string{c.Email}
		return nil
	}
	u, err := url.Parse("https://github.com/" + c.Workflow)
	t.URIs = []*url.URL{u}
	return err
}

// Token returns an identity token for a workflow, or an e-mail address, that is issued at a time.
func (i *Instance) Token(who string, at time.Time) (string, error) {
	c := Claims{Issuer: GitHub, Subject: "repo:acme/shop", Audience: "sigstore", Issued: at.Unix(), Expires: at.Add(validity).Unix(), Workflow: who}
	if !strings.Contains(who, "/") {
		c.Issuer, c.Workflow, c.Email, c.Verified = i.URL, "", who, true
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	text := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(body)
	hash := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.issuer, hash[:])
	if err != nil {
		return "", err
	}
	return text + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// verify returns the claims of a token of this instance that has not expired.
func (i *Instance) verify(token string) (c Claims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errors.New("the token is not a JSON Web Token")
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return c, err
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if len(signature) != 64 || !ecdsa.Verify(&i.issuer.PublicKey, hash[:], number(signature[:32]), number(signature[32:])) {
		return c, errors.New("the signature of the token is not valid")
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, err
	}
	if now := i.now().Unix(); now >= c.Expires || c.Audience != "sigstore" {
		return c, errors.New("the token has expired, or is not for this audience")
	}
	return c, nil
}
