package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// A MissingSecret is a Secret that services need and that does not exist in the
// namespace of their environment, or lacks some of the keys.
type MissingSecret struct {
	Name     string
	Keys     []string     // the missing keys, sorted
	Has      []string     // the keys that the Secret has, sorted; nil: the Secret does not exist
	Services []string     // the services that need one of Keys, in the order of the plan
	Make     string       // a command that creates all of Keys, with placeholders for the values
	By       *SecretMaker // the object that is to create it; nil: unknown
	// Never is the reason why waiting is useless, such as "Secret mail has the keys a, b:
	// name one with secret(\"mail\", key = …)". Empty: the Secret may be created later.
	Never string
}

// A SecretMaker is an object whose controller is to create a Secret.
type SecretMaker struct {
	Object string // such as "ExternalSecret mail"
	Why    string // why it has not done so yet; empty: unknown
	Show   string // a command that shows the object
}

// Wanted describes what is missing, and the object that is to create it.
func (m MissingSecret) Wanted() string {
	switch {
	case m.By == nil:
		return m.String()
	case m.By.Why == "":
		return fmt.Sprintf("%s, to be made by %s", m, m.By.Object)
	}
	return fmt.Sprintf("%s, to be made by %s (%s)", m, m.By.Object, m.By.Why)
}

// String describes what is missing, such as "Secret mail (keys password, user)".
func (m MissingSecret) String() string {
	what := plural("key", m.Keys) + " " + strings.Join(m.Keys, ", ")
	switch {
	case m.Has == nil:
		return fmt.Sprintf("Secret %s (%s)", m.Name, what)
	case len(m.Has) == 0:
		return fmt.Sprintf("%s of Secret %s (it is empty)", what, m.Name)
	}
	return fmt.Sprintf("%s of Secret %s (it has %s)", what, m.Name, strings.Join(m.Has, ", "))
}

func plural(noun string, of []string) string {
	if len(of) == 1 {
		return noun
	}
	return noun + "s"
}

// missingText lists what is missing in one line.
func missingText(missing []MissingSecret) string {
	texts := make([]string, len(missing))
	for i, m := range missing {
		texts[i] = m.Wanted()
	}
	return strings.Join(texts, "; ")
}

// A SecretsError means that Secrets which a service needs are still missing after a
// wait (D4). The SecretsErrors of one namespace have a [CommonError] with the same text.
type SecretsError struct {
	Namespace string
	Missing   []MissingSecret // sorted by name, each with all keys that services of the plan need
	Err       error           // why the wait ended
}

func (e *SecretsError) Error() string {
	return fmt.Sprintf("%v: missing in namespace %s: %s", e.Err, e.Namespace, missingText(e.Missing))
}

// Unwrap returns why the wait ended and the common cause of these errors.
func (e *SecretsError) Unwrap() []error {
	return []error{e.Err, &CommonError{Text: "Secrets that services need are missing in namespace " + e.Namespace}}
}

// lookForSecrets returns the task that finds the missing Secrets of the services to be
// deployed.
func (r *run) lookForSecrets(preparation []*sched.Task) *sched.Task {
	return &sched.Task{
		Name: "look for the Secrets of namespace " + r.namespace, Class: -1, After: preparation,
		Do: func(ctx context.Context) (err error) {
			r.missing, err = r.Deployer.MissingSecrets(ctx, r.req.Environment, r.scope.toPrepare())
			return err
		},
	}
}

// settleSecrets records for each service the Secrets that it must wait for. Its
// fingerprint is not known before they exist. A Secret for which waiting is useless is an
// error.
func (r *run) settleSecrets() {
	for _, m := range r.missing {
		for _, st := range r.scope.stages {
			for _, s := range st.services {
				switch {
				case s.later != "" || !slices.Contains(m.Services, s.Name):
				case m.Never == "":
					s.missing, s.fingerprint = append(s.missing, m), ""
				case s.err == nil:
					s.err = &CommonError{Text: m.Never}
				}
			}
		}
	}
}

// waitsForSecrets reports whether s must wait for Secrets before it is acted on.
func (s *service) waitsForSecrets() bool { return len(s.missing) > 0 && !s.idle && s.err == nil }

// maxRelated is the maximum number of other services whose positions a warning lists.
const maxRelated = 5

// unmade returns, by service, warnings about Secrets that are missing now: one for each
// Secret, at the first service that needs it.
func (r *run) unmade() map[string][]plan.Diagnostic {
	out := make(map[string][]plan.Diagnostic)
	for _, m := range r.missing {
		first := r.scope.plan.Service(m.Services[0])
		if m.Never != "" || first == nil {
			continue
		}
		d := plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: first.Pos,
			Message: fmt.Sprintf("%s %s %s, which namespace %s does not have", some(m.Services, maxRelated), needs(m.Services), m, r.namespace),
			Hint:    fmt.Sprintf("a run waits for it, at most for timeout= of the service; if nothing else creates it, pass the values with --secrets, or run: %s", m.Make),
		}
		if m.By != nil {
			d.Message = fmt.Sprintf("%s %s %s, which namespace %s does not have yet", some(m.Services, maxRelated), needs(m.Services), m, r.namespace)
			d.Hint = fmt.Sprintf("a run waits for %s to create it, at most for timeout= of the service; see its status with: %s", m.By.Object, m.By.Show)
			if m.By.Why != "" {
				d.Message += ": " + m.By.Object + ": " + m.By.Why
			}
		}
		if !first.Caller.IsZero() {
			d.Related = append(d.Related, plan.Related{Pos: first.Caller, Message: first.Name + " is declared by the call here"})
		}
		for _, name := range m.Services[1:] {
			s := r.scope.plan.Service(name)
			mentioned := s == nil || s.Pos.IsZero() || s.Pos == d.Pos || len(d.Related) == maxRelated
			if !mentioned && !slices.ContainsFunc(d.Related, func(other plan.Related) bool { return other.Pos == s.Pos }) {
				d.Related = append(d.Related, plan.Related{Pos: s.Pos, Message: name + " needs it, too"})
			}
		}
		out[first.Name] = append(out[first.Name], d)
	}
	return out
}

func needs(services []string) string {
	if len(services) == 1 {
		return "needs"
	}
	return "need"
}

// awaitSecrets returns when the Secrets that s needs exist. Nothing has been started for
// s yet, so the wait ends when the run fails elsewhere. When the wait of one service
// times out, all waiting services fail, so that missing Secrets are reported once.
func (r *run) awaitSecrets(ctx context.Context, s *service) error {
	if s.err != nil {
		return nil // it ends when it is acted on
	}
	waiting, done := r.waits.begin(ctx)
	defer done()
	r.track.set(s, verb[r.req.Action], "waits for "+missingText(s.missing))
	emit, stop := r.track.emit(s)
	err := catchPanic("wait for the Secrets of "+s.Name, func() error {
		return r.Deployer.AwaitSecrets(waiting, r.req.Environment, r.scope.toPrepare(), s.Name, emit)
	})
	stop()
	if err == nil {
		s.missing = nil
		return nil
	}
	cause := context.Cause(waiting)
	var own, first *SecretsError
	switch {
	case ctx.Err() != nil, errors.Is(cause, ErrStale):
	case errors.As(cause, &first) && errors.As(err, &own):
		err = &SecretsError{own.Namespace, own.Missing, first.Err}
	case cause != nil:
		return err // another service failed; this one was not started
	}
	state, reason, kept := ending(ctx, err)
	if state == Failed {
		err = fmt.Errorf("%s %s: %w", r.req.Action, s.Name, err)
		kept = err
		r.failed(err)
	}
	r.track.end(s, state, reason, kept)
	return err
}

// failed ends all waits for Secrets because the run has failed.
func (r *run) failed(err error) {
	if !r.req.KeepGoing {
		r.waits.end(err)
	}
}

// waits are the waits for Secrets of one run.
type waits struct {
	mu     sync.Mutex
	open   map[*context.CancelCauseFunc]bool
	reason error // why all of them have ended; nil: they have not ended
}

// begin returns the context of a wait. The caller must call done after the wait.
func (w *waits) begin(ctx context.Context) (waiting context.Context, done func()) {
	waiting, cancel := context.WithCancelCause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason != nil {
		cancel(w.reason)
	}
	if w.open == nil {
		w.open = make(map[*context.CancelCauseFunc]bool)
	}
	w.open[&cancel] = true
	return waiting, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, &cancel)
		cancel(nil)
	}
}

// end ends all current and future waits. The first reason is kept.
func (w *waits) end(reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason != nil {
		return
	}
	w.reason = reason
	for cancel := range w.open {
		(*cancel)(reason)
	}
}
