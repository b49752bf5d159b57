package local

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A redactor keeps the values of secrets out of all that is shown and kept
// (D4): of events, errors and evidence. It knows the values that were asked for;
// nothing else can get into a build or a pod. A value of fewer than four
// characters is no secret, and hiding it would hide half of the output.
type redactor struct {
	mu     sync.Mutex
	values []string // longest first, so that one within another leaves nothing
}

const (
	shortest = 4
	redacted = "REDACTED"
)

// add takes a value in, with the forms in which it may be printed.
func (r *redactor) add(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	forms := append(strings.Split(value, "\n"), base64.StdEncoding.EncodeToString([]byte(value)))
	for _, v := range forms {
		if v = strings.TrimSpace(v); len(v) >= shortest && !slices.Contains(r.values, v) {
			r.values = append(r.values, v)
		}
	}
	slices.SortFunc(r.values, func(a, b string) int { return len(b) - len(a) })
}

// text returns s without values.
func (r *redactor) text(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.values {
		if strings.Contains(s, v) {
			s = strings.ReplaceAll(s, v, redacted)
		}
	}
	return s
}

func (r *redactor) lines(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = r.text(s)
	}
	return out
}

// emit returns an Emit that hands on to emit what has no values in it.
func (r *redactor) emit(emit runtime.Emit) runtime.Emit {
	return func(b runtime.Body) {
		switch e := b.(type) {
		case runtime.Log:
			e.Text = r.text(e.Text)
			b = e
		case runtime.BuildStep:
			e.Name, e.Error = r.text(e.Name), r.text(e.Error)
			b = e
		case runtime.PodChanged:
			e.Reason = r.text(e.Reason)
			b = e
		case runtime.WaitingFor:
			e.What = r.text(e.What)
			b = e
		case runtime.Retried:
			e.What, e.Error = r.text(e.What), r.text(e.Error)
			b = e
		case runtime.StateChanged:
			e.Reason = r.text(e.Reason)
			b = e
		}
		emit(b)
	}
}

// err returns an error of the same kind without values.
func (r *redactor) err(err error) error {
	if err == nil {
		return nil
	}
	var build *runtime.BuildError
	var release *runtime.ReleaseError
	switch {
	case errors.As(err, &build):
		build.Log, build.Step = r.lines(build.Log), r.text(build.Step)
		build.Err = r.err(build.Err)
	case errors.As(err, &release):
		release.Evidence = r.lines(release.Evidence)
		release.Err = r.err(release.Err)
	}
	if text := err.Error(); r.text(text) != text {
		return &redactedError{err, r.text(text)}
	}
	return err
}

// A redactedError is an error whose text had a value in it.
type redactedError struct {
	err  error
	text string
}

func (e *redactedError) Error() string { return e.text }

// Format writes the text whatever the verb, so that %#v shows no more than %v.
func (e *redactedError) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(e.text)) }

// Is reports whether the error that is hidden is target. It is not unwrapped, so that nobody
// gets at its text.
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }

// As finds the errors that runtime tells apart, which hold no value any more.
func (e *redactedError) As(target any) bool {
	switch target.(type) {
	case **runtime.BuildError, **runtime.ReleaseError, **runtime.LockedError:
		return errors.As(e.err, target)
	}
	return false
}

// secrets are the sources of secrets, which tell the redactor what they give.
type secrets struct {
	from     runtime.Secrets
	redactor *redactor
}

func (s secrets) Secret(ctx context.Context, ref plan.SecretRef) (runtime.Secret, error) {
	value, err := s.from.Secret(ctx, ref)
	if err == nil {
		s.redactor.add(value.Reveal())
	}
	return value, err
}

// A redactedBuilder is a builder that shows no values.
type redactedBuilder struct {
	runtime.Builder
	redactor *redactor
}

func (b redactedBuilder) Build(ctx context.Context, spec plan.BuildSpec, ref string, emit runtime.Emit) (plan.Digest, error) {
	digest, err := b.Builder.Build(ctx, spec, ref, b.redactor.emit(emit))
	return digest, b.redactor.err(err)
}

// A redactedDeployer is a deployer that shows no values.
type redactedDeployer struct {
	runtime.Deployer
	redactor *redactor
}

func (d redactedDeployer) Prepare(ctx context.Context, namespace string, p *plan.Plan) error {
	return d.redactor.err(d.Deployer.Prepare(ctx, namespace, p))
}

func (d redactedDeployer) Deploy(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	return d.redactor.err(d.Deployer.Deploy(ctx, r, d.redactor.emit(emit)))
}

func (d redactedDeployer) Stop(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	return d.redactor.err(d.Deployer.Stop(ctx, r, d.redactor.emit(emit)))
}

func (d redactedDeployer) Restart(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	return d.redactor.err(d.Deployer.Restart(ctx, r, d.redactor.emit(emit)))
}

func (d redactedDeployer) Delete(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	return d.redactor.err(d.Deployer.Delete(ctx, r, d.redactor.emit(emit)))
}

func (d redactedDeployer) Start(ctx context.Context, r runtime.Release, emit runtime.Emit) error {
	return d.redactor.err(d.Deployer.Start(ctx, r, d.redactor.emit(emit)))
}

func (d redactedDeployer) Remove(ctx context.Context, key runtime.EnvironmentKey, keepVolumes bool, emit runtime.Emit) error {
	return d.redactor.err(d.Deployer.Remove(ctx, key, keepVolumes, d.redactor.emit(emit)))
}
