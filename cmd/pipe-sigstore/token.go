package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The variables that an identity token is in, or that say how to get one: those of cosign and of GitHub Actions.
const (
	tokenVariable        = "SIGSTORE_ID_TOKEN"
	requestURLVariable   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestTokenVariable = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

const (
	audience     = "sigstore" // of the token
	maxToken     = 64 << 10
	tokenTimeout = 30 * time.Second
	clockSkew    = 5 * time.Minute // a smaller difference between clocks is not worth a message
)

// An idToken is the identity token of a job. It is a secret: whoever has it can sign as the job.
type idToken struct {
	text    string
	from    string // the variable
	expires time.Time
}

// token returns the identity token of the environment, which has not expired.
func (a *app) token(ctx context.Context) (idToken, error) {
	t := idToken{text: strings.TrimSpace(a.getenv(tokenVariable)), from: tokenVariable}
	if t.text == "" {
		address, bearer := a.getenv(requestURLVariable), a.getenv(requestTokenVariable)
		if address == "" || bearer == "" {
			return idToken{}, &failure{
				Message: "there is no identity token: neither " + tokenVariable + " nor " + requestURLVariable + " and " + requestTokenVariable + " are set",
				Do:      "give the job of CI the permission to request one (id-token: write in GitHub Actions), or set " + tokenVariable + " (id_tokens: in GitLab, for the audience sigstore)",
				NoToken: true,
			}
		}
		var err error
		if t.text, err = requestToken(ctx, address, bearer); err != nil {
			return idToken{}, &failure{
				Message: fmt.Sprintf("request an identity token from the address in %s: %v", requestURLVariable, err),
				Do:      "give the job of CI the permission id-token: write, and run it again",
			}
		}
		t.from = requestURLVariable
	}
	return t, t.check(time.Now())
}

// requestToken requests a token from GitHub Actions. Its errors show neither token, nor the address.
func requestToken(ctx context.Context, address, bearer string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", errors.New("it is not a valid address")
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", errors.New("it is not a valid address")
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) { // it shows the address
			err = at.Err
		}
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s has answered %s", u.Host, answer.Status)
	}
	var body struct {
		Value string `json:"value"`
	}
	if json.NewDecoder(io.LimitReader(answer.Body, maxToken)).Decode(&body) != nil || body.Value == "" {
		return "", fmt.Errorf("%s has answered without a token", u.Host)
	}
	return body.Value, nil
}

// check returns an error if Fulcio would not accept the token, as far as it says so itself. It sets when
// the token expires.
func (t *idToken) check(now time.Time) error {
	invalid := &failure{Message: "the identity token of " + t.from + " is not a JSON Web Token", Do: "set " + tokenVariable + " to the token itself, not to the name of a file or variable"}
	parts := strings.Split(t.text, ".")
	if len(parts) != 3 {
		return invalid
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Expires float64 `json:"exp"`
		Issued  float64 `json:"iat"`
	}
	if err != nil || json.Unmarshal(body, &claims) != nil || claims.Expires == 0 {
		return invalid
	}
	t.expires = time.Unix(int64(claims.Expires), 0).UTC()
	issued := time.Unix(int64(claims.Issued), 0).UTC()
	switch {
	case claims.Issued != 0 && issued.Sub(now) > clockSkew:
		return &failure{
			Message: fmt.Sprintf("the identity token of %s was issued at %s, which is in the future: the clock of this machine is %s slow", t.from, issued.Format(time.RFC3339), issued.Sub(now).Round(time.Minute)),
			Do:      "set the clock of this machine",
		}
	case !now.Before(t.expires):
		return &failure{
			Message: fmt.Sprintf("the identity token of %s has expired at %s, %s ago", t.from, t.expires.Format(time.RFC3339), now.Sub(t.expires).Round(time.Second)),
			Do:      "run the job again with a new token: tokens are valid for minutes; in GitHub Actions, give the permission id-token: write instead of setting " + tokenVariable + ", so that a token is requested for each signature; and check the clock of this machine",
		}
	}
	return nil
}

// hide removes the token from a text: some servers and proxies repeat a request in their errors.
func (t *idToken) hide(text string) string {
	for _, part := range append([]string{t.text}, strings.Split(t.text, ".")...) {
		if part != "" {
			text = strings.ReplaceAll(text, part, "REDACTED")
		}
	}
	return text
}
