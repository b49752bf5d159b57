package local

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

const value = "s3cr3t-value"

// A leaky driver lets the value out wherever it can.
type leaky struct {
	runtime.Builder
	runtime.Deployer
}

func leak(emit runtime.Emit) {
	for _, b := range []runtime.Body{
		runtime.Log{Source: "x", Text: "password " + value},
		runtime.BuildStep{Name: "RUN echo " + value, Error: "exit: " + value},
		runtime.PodChanged{Reason: "CrashLoopBackOff: " + value},
		runtime.WaitingFor{What: value},
		runtime.Retried{What: value, Error: value},
		runtime.StateChanged{Reason: value},
	} {
		emit(b)
	}
}

func (leaky) Build(_ context.Context, _ plan.BuildSpec, _ string, emit runtime.Emit) (plan.Digest, error) {
	leak(emit)
	return "", fmt.Errorf("build: %w", &runtime.BuildError{Step: "RUN echo " + value, Log: []string{"first " + value}, Err: errors.New(value)})
}

func (leaky) Deploy(_ context.Context, _ runtime.Release, emit runtime.Emit) error {
	leak(emit)
	return fmt.Errorf("deploy: %w", &runtime.ReleaseError{Release: "api", Err: fmt.Errorf("%w: %s", runtime.ErrTimeout, value),
		Evidence: []string{"log: " + base64.StdEncoding.EncodeToString([]byte(value))}})
}

func (leaky) Prepare(context.Context, string, *plan.Plan) error {
	return fmt.Errorf("%s: %w", value, runtime.ErrConflict)
}

// TestRedact: whatever a driver says, no value gets out, and what is to be told apart still is (D4).
func TestRedact(t *testing.T) {
	r := &redactor{}
	from := secrets{Secrets{EnvSecrets("", []string{"TOKEN=" + value})}, r}
	if _, err := from.Secret(t.Context(), plan.SecretRef{Name: "token"}); err != nil {
		t.Fatal(err)
	}
	var said []string
	emit := func(b runtime.Body) { said = append(said, fmt.Sprintf("%+v", b)) }

	_, buildErr := redactedBuilder{leaky{}, r}.Build(t.Context(), plan.BuildSpec{}, "", emit)
	deployErr := redactedDeployer{leaky{}, r}.Deploy(t.Context(), runtime.Release{}, emit)
	prepareErr := redactedDeployer{leaky{}, r}.Prepare(t.Context(), "", nil)

	var build *runtime.BuildError
	var release *runtime.ReleaseError
	if !errors.As(buildErr, &build) || !errors.As(deployErr, &release) {
		t.Fatalf("the kinds of errors are lost: %T, %T", buildErr, deployErr)
	}
	if !errors.Is(deployErr, runtime.ErrTimeout) || !errors.Is(prepareErr, runtime.ErrConflict) {
		t.Errorf("%v is not ErrTimeout, or %v not ErrConflict", deployErr, prepareErr)
	}
	for _, err := range []error{buildErr, deployErr, prepareErr, build, release} {
		said = append(said, fmt.Sprintf("%v|%+v|%#v", err, err, err))
	}
	said = append(said, build.Log...)
	said = append(said, release.Evidence...)
	for _, s := range said {
		if strings.Contains(s, value) || strings.Contains(s, base64.StdEncoding.EncodeToString([]byte(value))) {
			t.Errorf("a value got out: %s", s)
		}
	}
	if want := "deploy: timed out: REDACTED"; deployErr.Error() != want {
		t.Errorf("got %q, want %q", deployErr, want)
	}
}

func TestRedactText(t *testing.T) {
	r := &redactor{}
	r.add("abc") // too short to be one
	r.add("longer")
	r.add("longer still")
	r.add("-----BEGIN-----\nline one\nline two\n")
	for in, want := range map[string]string{
		"abc":                  "abc",
		"a longer still b":     "a REDACTED b",
		"a longer b":           "a REDACTED b",
		"log: line two of key": "log: REDACTED of key",
	} {
		if got := r.text(in); got != want {
			t.Errorf("text(%q) = %q, want %q", in, got, want)
		}
	}
}
