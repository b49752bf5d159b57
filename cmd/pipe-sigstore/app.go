package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// protocol is the version of requests and responses.
const protocol = 1

// maxRequest limits the size of a request, in bytes: bundles of 16 MiB, in base64, and what is in the plan.
const maxRequest = 64 << 20

// A request asks for one thing: exactly one of Token, Sign and Verify is there.
type request struct {
	Version int `json:"version"`
	// Cache is the directory in which what is known about the public instance of Sigstore is kept.
	Cache string `json:"cache"`

	Token  *struct{}      `json:"token,omitempty"` // is there an identity token that has not expired?
	Sign   *signRequest   `json:"sign,omitempty"`
	Verify *verifyRequest `json:"verify,omitempty"`
}

// An identity says who signs, as a certificate of Fulcio does.
type identity struct {
	Issuer string `json:"issuer"`           // the OpenID Connect provider that has authenticated it
	Name   string `json:"name,omitempty"`   // the address of a workflow, or an e-mail address
	Regexp string `json:"regexp,omitempty"` // instead of Name: it must match all of the name
	// TrustedRoot is the trusted root of Sigstore, in JSON; empty: that of the public instance.
	TrustedRoot string `json:"trustedRoot,omitempty"`
}

// A signRequest asks for a signature of an image by an identity, which must have a name.
type signRequest struct {
	Digest   string   `json:"digest"` // sha256:HEX
	Identity identity `json:"identity"`
	// SigningConfig says where Fulcio, Rekor and timestamp authorities are, in JSON; empty: the
	// public ones.
	SigningConfig string `json:"signingConfig,omitempty"`
}

// A verifyRequest asks whether one of some bundles is a signature of an image by one of some identities.
type verifyRequest struct {
	Digest     string     `json:"digest"`
	Identities []identity `json:"identities"`
	Bundles    [][]byte   `json:"bundles"`
}

// A response has an error or the result.
type response struct {
	Version int      `json:"version"`
	Error   *failure `json:"error,omitempty"`
	// Bundle is the signature that was asked for.
	Bundle []byte `json:"bundle,omitempty"`
	// Found says why none of the bundles counts, each reason once; none: one of them counts.
	Found []string `json:"found,omitempty"`
}

// A failure is an error with what to do about it.
type failure struct {
	Message string `json:"message"`
	Do      string `json:"do,omitempty"`
	NoToken bool   `json:"noToken,omitempty"` // the environment has no identity token
}

func (f *failure) Error() string { return f.Message }

// app has everything outside the process that the command uses.
type app struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(name string) string
	repository     repository // of the public instance
}

// run answers one request and returns the exit status: 0, or 1 if there is no response.
func (a *app) run(ctx context.Context) int {
	if len(a.args) > 0 {
		fmt.Fprintln(a.stderr, "pipe-sigstore signs images without a key, and verifies such signatures, for pipe, which starts it: it has no arguments.")
		return 1
	}
	out, err := a.answer(ctx)
	if err != nil {
		out = response{Error: &failure{Message: err.Error()}}
		errors.As(err, &out.Error)
	}
	out.Version = protocol
	if err := json.NewEncoder(a.stdout).Encode(out); err != nil {
		return 1
	}
	return 0
}

func (a *app) answer(ctx context.Context) (out response, err error) {
	data, err := io.ReadAll(io.LimitReader(a.stdin, maxRequest+1))
	if err != nil {
		return out, fmt.Errorf("read the request: %w", err)
	}
	if len(data) > maxRequest {
		return out, fmt.Errorf("the request has more than %d bytes", maxRequest)
	}
	var in request
	if json.Unmarshal(data, &in) != nil {
		return out, errors.New("the request is not valid JSON")
	}
	if in.Version != protocol {
		return out, fmt.Errorf("the request has version %d, but this program knows only version %d", in.Version, protocol)
	}
	trust := &trust{repository: a.repository, cache: in.Cache}
	switch {
	case in.Token != nil:
		_, err = a.token(ctx)
	case in.Sign != nil:
		out.Bundle, err = a.sign(ctx, trust, *in.Sign)
	case in.Verify != nil:
		out.Found, err = verifyAll(trust, *in.Verify)
	default:
		err = errors.New("the request asks for nothing")
	}
	return out, err
}
