package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/pipelinefile/pipe/internal/procgroup"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// The program pipe-sigstore has the libraries of Sigstore. It reads one request from its standard input and writes one
// response to its standard output; its sources are the documentation of both. Identity tokens are in its environment,
// which is that of pipe.
const (
	sigstoreProgram  = "pipe-sigstore"
	sigstoreProtocol = 1
)

// A sigstoreRequest has one of Token, Sign and Verify.
type sigstoreRequest struct {
	Version int             `json:"version"`
	Cache   string          `json:"cache"`
	Token   *struct{}       `json:"token,omitempty"`
	Sign    *sigstoreSign   `json:"sign,omitempty"`
	Verify  *sigstoreVerify `json:"verify,omitempty"`
}

type sigstoreIdentity struct {
	Issuer      string `json:"issuer"`
	Name        string `json:"name,omitempty"`
	Regexp      string `json:"regexp,omitempty"`
	TrustedRoot string `json:"trustedRoot,omitempty"`
}

type sigstoreSign struct {
	Digest        string           `json:"digest"`
	Identity      sigstoreIdentity `json:"identity"`
	SigningConfig string           `json:"signingConfig,omitempty"`
}

type sigstoreVerify struct {
	Digest     string             `json:"digest"`
	Identities []sigstoreIdentity `json:"identities"`
	Bundles    [][]byte           `json:"bundles"`
}

type sigstoreResponse struct {
	Version int `json:"version"`
	Error   *struct {
		Message string `json:"message"`
		Do      string `json:"do"`
		NoToken bool   `json:"noToken"`
	} `json:"error"`
	Bundle []byte   `json:"bundle"`
	Found  []string `json:"found"`
}

// sigstore asks the program pipe-sigstore.
type sigstore struct {
	executable string // pipe, which the program is beside of
	cache      string // directory
}

// ask runs pipe-sigstore, which ends with ctx, and with pipe. Its standard error is not shown: libraries decide what
// it contains.
func (s sigstore) ask(ctx context.Context, in sigstoreRequest) (out sigstoreResponse, err error) {
	program, err := findProgram(s.executable, sigstoreProgram)
	if err != nil {
		return out, runtime.Advise(fmt.Errorf("signatures without keys need %w", err),
			runtime.Advice{Do: "put pipe-sigstore beside pipe or on the PATH: \"make sigstore\" builds it from the sources of pipe"})
	}
	in.Version, in.Cache = sigstoreProtocol, s.cache
	data, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	var stdout bytes.Buffer
	cmd := exec.Command(program)
	cmd.Stdin, cmd.Stdout = bytes.NewReader(data), &stdout
	cmd.WaitDelay = time.Second
	group, err := procgroup.New()
	if err != nil {
		return out, err
	}
	defer group.Kill()
	if err := group.Start(cmd); err != nil {
		return out, err
	}
	stop := context.AfterFunc(ctx, group.Kill)
	err = cmd.Wait()
	stop()
	switch {
	case ctx.Err() != nil:
		return out, context.Cause(ctx)
	case err != nil:
		return out, fmt.Errorf("%s: %w", program, err)
	case json.Unmarshal(stdout.Bytes(), &out) != nil, out.Version != sigstoreProtocol:
		return out, fmt.Errorf("%s: unknown response; pipe and pipe-sigstore must be of the same version", program)
	case out.Error == nil:
		return out, nil
	}
	err = errors.New(out.Error.Message)
	if out.Error.NoToken {
		err = &noTokenError{out.Error.Message}
	}
	if out.Error.Do != "" {
		err = runtime.Advise(err, runtime.Advice{Do: out.Error.Do})
	}
	return out, err
}

// A noTokenError means that the environment has no identity token. It is an [runtime.ErrNotFound].
type noTokenError struct{ message string }

func (e *noTokenError) Error() string { return e.message }

func (e *noTokenError) Unwrap() error { return runtime.ErrNotFound }

// hasToken returns an error if nothing can be signed now.
func (s sigstore) hasToken(ctx context.Context) error {
	_, err := s.ask(ctx, sigstoreRequest{Token: &struct{}{}})
	return err
}

// sign returns a signature of an image, as a bundle.
func (s sigstore) sign(ctx context.Context, image plan.Digest, as plan.Keyless) ([]byte, error) {
	out, err := s.ask(ctx, sigstoreRequest{Sign: &sigstoreSign{Digest: string(image), Identity: sigstoreIdentityOf(as.Identity), SigningConfig: as.SigningConfig}})
	if err == nil && len(out.Bundle) == 0 {
		err = errors.New(sigstoreProgram + ": the response has no signature")
	}
	return out.Bundle, err
}

// verify returns why none of the bundles is a signature of the image by one of the identities; nothing: one is.
func (s sigstore) verify(ctx context.Context, image plan.Digest, by []plan.Identity, bundles [][]byte) ([]string, error) {
	in := &sigstoreVerify{Digest: string(image), Bundles: bundles}
	for _, id := range by {
		in.Identities = append(in.Identities, sigstoreIdentityOf(id))
	}
	out, err := s.ask(ctx, sigstoreRequest{Verify: in})
	return out.Found, err
}

func sigstoreIdentityOf(id plan.Identity) sigstoreIdentity {
	return sigstoreIdentity{Issuer: id.Issuer, Name: id.Name, Regexp: id.Regexp, TrustedRoot: id.TrustedRoot}
}
