package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pipelinefile/pipe/cmd/pipe-sigstore/internal/trial"
)

const (
	workflow = "acme/shop/.github/workflows/release.yml@refs/heads/main"
	shop     = "https://github.com/" + workflow
)

func digestOf(text string) string {
	hash := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(hash[:])
}

// A bench is an instance of Sigstore, and the program in an environment.
type bench struct {
	*trial.Instance
	env  map[string]string
	as   identity
	with string // signing config

	public repository // of the public instance
	cache  string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	i, err := trial.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	b := &bench{Instance: i, public: repository{url: i.URL + "/tuf"}, cache: t.TempDir()}
	trusted, err := i.TrustedRoot()
	if err != nil {
		t.Fatal(err)
	}
	config, err := i.SigningConfig()
	if err != nil {
		t.Fatal(err)
	}
	b.as = identity{Issuer: trial.GitHub, Name: shop, TrustedRoot: string(trusted)}
	b.with = string(config)
	b.env = map[string]string{requestURLVariable: i.TokenURL(workflow), requestTokenVariable: trial.Bearer}
	return b
}

// send sends a request to the program and returns its response, in which no token is.
func (b *bench) send(t *testing.T, in any) response {
	t.Helper()
	if r, ok := in.(request); ok {
		r.Cache = b.cache
		in = r
	}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	a := app{stdin: bytes.NewReader(data), stdout: &out, stderr: &errs, getenv: func(name string) string { return b.env[name] }, repository: b.public}
	if status := a.run(t.Context()); status != 0 || errs.Len() > 0 {
		t.Fatalf("status %d, standard error %q", status, errs.String())
	}
	for _, secret := range append(strings.Split(b.env[tokenVariable], "."), trial.Bearer) {
		if len(secret) > 10 && strings.Contains(out.String(), secret) {
			t.Errorf("the response %s has a token", out.String())
		}
	}
	var got response
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("response %q: %v", out.String(), err)
	}
	return got
}

func (b *bench) sign(t *testing.T, digest string) response {
	t.Helper()
	return b.send(t, request{Version: protocol, Sign: &signRequest{Digest: digest, Identity: b.as, SigningConfig: b.with}})
}

func (b *bench) mustSign(t *testing.T, digest string) []byte {
	t.Helper()
	got := b.sign(t, digest)
	if got.Error != nil {
		t.Fatalf("sign: %+v", got.Error)
	}
	return got.Bundle
}

// verify requires that the bundles count, or, with want, that they do not, because of each of want.
func (b *bench) verify(t *testing.T, digest string, ids []identity, bundles [][]byte, want ...string) {
	t.Helper()
	got := b.send(t, request{Version: protocol, Verify: &verifyRequest{Digest: digest, Identities: ids, Bundles: bundles}})
	if got.Error != nil {
		t.Fatalf("verify: %+v", got.Error)
	}
	found := strings.Join(got.Found, "\n")
	if (len(want) == 0) != (found == "") {
		t.Errorf("verify: %q, want %q", found, want)
	}
	for _, part := range want {
		if !strings.Contains(found, part) {
			t.Errorf("verify: %q, want %q in it", found, part)
		}
	}
}

// fails requires that a response is an error with some words, and with advice.
func fails(t *testing.T, got response, want string) {
	t.Helper()
	if got.Error == nil || !strings.Contains(got.Error.Message, want) || got.Error.Do == "" {
		t.Errorf("the response is %+v, want the error %q", got.Error, want)
	}
}

// TestSign: a signature counts for its identity, its image, and its instance of Sigstore only.
func TestSign(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image, other := digestOf("image"), digestOf("other")
	raw := b.mustSign(t, image)
	all := [][]byte{raw}
	b.verify(t, image, []identity{b.as}, all)
	with := func(change func(*identity)) []identity {
		id := b.as
		change(&id)
		return []identity{id}
	}
	b.verify(t, image, append(with(func(i *identity) { i.Name = "x" }), b.as), [][]byte{[]byte("{}"), raw})
	b.verify(t, image, with(func(i *identity) { i.Name, i.Regexp = "", `https://github\.com/acme/.*` }), all)
	b.verify(t, image, with(func(i *identity) { i.Name, i.Regexp = "", `github` }), all, shop+" (issuer "+trial.GitHub+") has signed it")
	b.verify(t, image, with(func(i *identity) { i.Name = shop + "x" }), all, shop+" (issuer "+trial.GitHub+") has signed it")
	b.verify(t, image, with(func(i *identity) { i.Name = strings.ToUpper(shop) }), all, "has signed it")
	b.verify(t, image, with(func(i *identity) { i.Issuer += "/" }), all, "has signed it")
	b.verify(t, image, with(func(i *identity) { i.Issuer = "" }), all, "is not an identity")
	b.verify(t, image, with(func(i *identity) { i.Name = "" }), all, "is not an identity")
	b.verify(t, other, []identity{b.as}, all, shop+" (issuer "+trial.GitHub+") has signed "+image)
	b.verify(t, image, []identity{b.as}, [][]byte{[]byte("{}"), []byte("nonsense")}, "a signature is damaged")

	elsewhere := newBench(t)
	b.verify(t, image, []identity{elsewhere.as}, all, "is not in a transparency log of the trusted root")

	// What was changed after it was signed.
	var made map[string]any
	if err := json.Unmarshal(raw, &made); err != nil {
		t.Fatal(err)
	}
	envelope := made["dsseEnvelope"].(map[string]any)
	envelope["payload"] = envelope["payload"].(string)[:40] + "AAAA" + envelope["payload"].(string)[44:]
	changed, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	b.verify(t, image, []identity{b.as}, [][]byte{changed}, "is not in a transparency log of the trusted root")

	// An e-mail address.
	b.env[requestURLVariable] = b.TokenURL("ann@acme.test")
	b.as.Name, b.as.Issuer = "ann@acme.test", b.URL
	b.verify(t, image, []identity{b.as}, [][]byte{b.mustSign(t, image)})
}

// TestParts: each part of a signature is required: a certificate in a log of certificates, an entry in
// a transparency log if the instance has one, and a timestamp.
func TestParts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image := digestOf("image")
	raw := b.mustSign(t, image)
	without := func(part string) []byte {
		var made map[string]any
		if err := json.Unmarshal(raw, &made); err != nil {
			t.Fatal(err)
		}
		material := made["verificationMaterial"].(map[string]any)
		if material[part] == nil {
			t.Fatalf("the signature has no %s: %s", part, raw)
		}
		delete(material, part)
		changed, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	b.verify(t, image, []identity{b.as}, [][]byte{without("tlogEntries")}, "not in a transparency log")
	b.verify(t, image, []identity{b.as}, [][]byte{without("timestampVerificationData")}) // the log has a time, too
	root := func(change func(map[string]any)) identity {
		var made map[string]any
		if err := json.Unmarshal([]byte(b.as.TrustedRoot), &made); err != nil {
			t.Fatal(err)
		}
		change(made)
		changed, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		return identity{Issuer: b.as.Issuer, Name: b.as.Name, TrustedRoot: string(changed)}
	}
	unlogged := root(func(m map[string]any) { delete(m, "tlogs") })
	b.verify(t, image, []identity{unlogged}, [][]byte{raw})
	b.verify(t, image, []identity{unlogged}, [][]byte{without("timestampVerificationData")}, "has no timestamp of an authority of the trusted root")

	other := newBench(t)
	var theirs map[string]any
	if err := json.Unmarshal([]byte(other.as.TrustedRoot), &theirs); err != nil {
		t.Fatal(err)
	}
	b.verify(t, image, []identity{root(func(m map[string]any) { m["certificateAuthorities"] = theirs["certificateAuthorities"] })}, [][]byte{raw}, "the certificate of "+shop, "is not one of the trusted root")
	b.verify(t, image, []identity{root(func(m map[string]any) { m["ctlogs"] = theirs["ctlogs"] })}, [][]byte{raw}, "is not in a log of certificates of the trusted root")

	for part, want := range map[string]string{"certificateAuthorities": "has no certificate authority", "ctlogs": "has no log of certificates"} {
		id := root(func(m map[string]any) { delete(m, part) })
		fails(t, b.send(t, request{Version: protocol, Verify: &verifyRequest{Digest: image, Identities: []identity{id}, Bundles: [][]byte{raw}}}), want)
	}
	for _, text := range []string{"{}", "nonsense", `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=9"}`} {
		fails(t, b.send(t, request{Version: protocol, Verify: &verifyRequest{Digest: image, Identities: []identity{{Issuer: "x", Name: "y", TrustedRoot: text}}, Bundles: [][]byte{raw}}}), "trusted_root=")
	}
}

// TestTokens: what can be wrong with an identity token, which no error shows.
func TestTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ask := request{Version: protocol, Token: &struct{}{}}
	if got := b.send(t, ask); got.Error != nil {
		t.Errorf("a token of the CI: %+v", got.Error)
	}
	b.env[requestTokenVariable] = "another"
	fails(t, b.send(t, ask), "has answered 401")
	b.env[requestURLVariable] = "http://127.0.0.1:1/token?secret=hidden"
	if got := b.send(t, ask); got.Error == nil || strings.Contains(got.Error.Message, "hidden") {
		t.Errorf("the response is %+v", got.Error)
	}
	clear(b.env)
	got := b.send(t, ask)
	fails(t, got, "there is no identity token")
	if !got.Error.NoToken {
		t.Error("the response does not say that there is no token")
	}
	token := func(at time.Time) string {
		text, err := b.Token(workflow, at)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for text, want := range map[string]string{
		token(time.Now()):                   "",
		token(time.Now().Add(-time.Hour)):   "has expired at",
		token(time.Now().Add(time.Hour)):    "the clock of this machine is 1h0m0s slow",
		"/run/secrets/token":                "is not a JSON Web Token",
		"a.b.c":                             "is not a JSON Web Token",
		token(time.Now()) + "tampered-with": "",
	} {
		b.env[tokenVariable] = text
		if got := b.send(t, ask); want != "" {
			fails(t, got, want)
		} else if got.Error != nil {
			t.Errorf("the response is %+v", got.Error)
		}
	}
	b.env[tokenVariable] = token(time.Now()) + "AAAA"
	fails(t, b.sign(t, digestOf("image")), "Fulcio at "+b.URL+" has refused to sign")
}

// TestServices: services that do not answer, or not as they should, and a wrong clock.
func TestServices(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image := digestOf("image")
	for path, name := range map[string]string{"/api/v2/signingCert": "Fulcio", "/api/v1/log/entries": "the transparency log", "/api/v1/timestamp": "the timestamp authority"} {
		clear(b.Answer)
		b.Answer[path] = http.StatusForbidden
		got := b.sign(t, image)
		fails(t, got, name+" at "+b.URL)
	}
	clear(b.Answer)
	b.as.Name += "-other"
	fails(t, b.sign(t, image), "the identity token is that of "+shop+" (issuer "+trial.GitHub+"), but keyless() names "+shop+"-other")
	b.as.Name = shop

	b.Unlogged = true
	fails(t, b.sign(t, image), "is not in a log of certificates of the trusted root")
	b.Unlogged = false

	config := b.with
	for text, want := range map[string]string{
		"nonsense": "signing_config= is damaged",
		strings.ReplaceAll(config, b.URL, "http://127.0.0.1:1"):                  "Fulcio at http://127.0.0.1:1 cannot be reached",
		strings.ReplaceAll(config, `"majorApiVersion":1`, `"majorApiVersion":9`): "signing_config= names no Fulcio (caUrls) that can be used now",
	} {
		b.with = text
		fails(t, b.sign(t, image), want)
	}
	b.with = config

	// The clock of this machine is an hour behind; the token, however, is fresh.
	token, err := b.Token(workflow, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.env[tokenVariable] = token
	b.Skew = time.Hour
	fails(t, b.sign(t, image), "the clock of this machine is 1h0m0s behind its clock")

	b.as.TrustedRoot = ""
	fails(t, b.sign(t, image), "the trusted root of the public instance of Sigstore is not known")
}

// TestPublic: the trusted root and the signing config of the public instance, which is asked once a day.
func TestPublic(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image := digestOf("image")
	publish := func(until time.Time) *trial.Repository {
		r, err := b.Publish(until)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(r)
		t.Cleanup(server.Close)
		b.public = repository{url: server.URL, root: r.Root}
		return r
	}
	r := publish(time.Now().Add(24 * time.Hour))
	b.as.TrustedRoot, b.with = "", ""
	raw := b.mustSign(t, image)
	asked := r.Asked.Load()
	b.verify(t, image, []identity{b.as}, [][]byte{raw})
	if n := r.Asked.Load(); asked == 0 || n != asked {
		t.Errorf("the repository was asked %d times, and then %d times", asked, n-asked)
	}
	b.public.root = nil // another first root of trust
	b.cache = t.TempDir()
	ask := request{Version: protocol, Verify: &verifyRequest{Digest: image, Identities: []identity{b.as}, Bundles: [][]byte{raw}}}
	fails(t, b.send(t, ask), "the trusted root of the public instance of Sigstore is not known: "+b.public.url)
	other, err := newBench(t).Publish(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	b.public.root = other.Root
	fails(t, b.send(t, ask), "the trusted root of the public instance of Sigstore is not known")

	publish(time.Now().Add(-time.Hour)) // as with a clock that is ahead
	b.cache = t.TempDir()
	fails(t, b.send(t, ask), "the trusted root of the public instance of Sigstore is not known")
}

// TestRequests: a request that cannot be answered.
func TestRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for want, in := range map[string]any{
		"the request is not valid JSON": "text",
		"the request has version 9":     request{Version: 9},
		"the request asks for nothing":  request{Version: protocol},
		`"sha256:0" is not a digest`:    request{Version: protocol, Verify: &verifyRequest{Digest: "sha256:0"}},
		"has no bundle or no identity":  request{Version: protocol, Verify: &verifyRequest{Digest: digestOf("x")}},
		`"md5:00" is not a digest of`:   request{Version: protocol, Sign: &signRequest{Digest: "md5:00"}},
	} {
		if got := b.send(t, in); got.Error == nil || !strings.Contains(got.Error.Message, want) {
			t.Errorf("the response is %+v, want %q", got.Error, want)
		}
	}
	var errs bytes.Buffer
	a := app{args: []string{"sign"}, stderr: &errs}
	if status := a.run(t.Context()); status != 1 || !strings.Contains(errs.String(), "it has no arguments") {
		t.Errorf("status %d, %q", status, errs.String())
	}
}
