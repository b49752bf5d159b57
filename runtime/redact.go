package runtime

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/pipelinefile/pipe/plan"
)

// Redact returns b with hide applied to each string that may quote a
// program or a server: output, errors, reasons. Names are not changed, so
// that they can be looked up. Each event type implements this itself, because Body
// requires it.
func Redact(b Body, hide func(string) string) Body { return b.redacted(hide) }

// redacting returns a callback that redacts events and passes them to call. Both call
// and hide may be nil.
func redacting(call func(Event), hide func(string) string) func(Event) {
	if call == nil || hide == nil {
		return call
	}
	return func(e Event) {
		e.Body = Redact(e.Body, hide)
		call(e)
	}
}

func (e RunStarted) redacted(func(string) string) Body   { return e }
func (e StageStarted) redacted(func(string) string) Body { return e }
func (e StageEnded) redacted(func(string) string) Body   { return e }

func (e StateChanged) redacted(hide func(string) string) Body {
	e.Reason = hide(e.Reason)
	return e
}

func (e BuildStep) redacted(hide func(string) string) Body {
	e.Name, e.Error = hide(e.Name), hide(e.Error) // a name has the command of a RUN
	return e
}

func (e Transfer) redacted(func(string) string) Body { return e }

func (e TagMoved) redacted(func(string) string) Body { return e }

func (e Scanned) redacted(func(string) string) Body { return e }

func (e Log) redacted(hide func(string) string) Body {
	e.Source, e.Text = hide(e.Source), hide(e.Text) // a source may be the name of a build step
	return e
}

func (e PodChanged) redacted(hide func(string) string) Body {
	e.Reason = hide(e.Reason)
	return e
}

func (e Adopts) redacted(hide func(string) string) Body {
	return Adopts(Adoption(e).redacted(hide))
}

func (e WaitingFor) redacted(hide func(string) string) Body {
	e.What = hide(e.What)
	return e
}

func (e Retried) redacted(hide func(string) string) Body {
	e.What, e.Error, e.From, e.To = hide(e.What), hide(e.Error), hide(e.From), hide(e.To)
	return e
}

func (e Printed) redacted(hide func(string) string) Body {
	e.Text = hide(e.Text)
	return e
}

func (e Warned) redacted(hide func(string) string) Body {
	e.Diagnostic = redactDiagnostic(e.Diagnostic, hide)
	return e
}

func (e RunEnded) redacted(hide func(string) string) Body {
	if e.Record != nil {
		record := redactRecord(*e.Record, hide)
		e.Record = &record
	}
	return e
}

func (e FilesChanged) redacted(func(string) string) Body { return e }

func (e WatchChanged) redacted(hide func(string) string) Body {
	e.Reason = hide(e.Reason)
	e.Errors = slices.Clone(e.Errors)
	for i, d := range e.Errors {
		e.Errors[i] = redactDiagnostic(d, hide)
	}
	return e
}

func (e ServiceRemoved) redacted(func(string) string) Body { return e }

func (e PodLog) redacted(hide func(string) string) Body {
	e.Text = hide(e.Text)
	return e
}

func (e Forwarding) redacted(hide func(string) string) Body {
	e.Reason = hide(e.Reason)
	return e
}

func (e Synced) redacted(hide func(string) string) Body {
	e.Error = hide(e.Error)
	return e
}

func redactDiagnostic(d plan.Diagnostic, hide func(string) string) plan.Diagnostic {
	d.Message, d.Line, d.Hint, d.Suggest = hide(d.Message), hide(d.Line), hide(d.Hint), hide(d.Suggest)
	d.Related = slices.Clone(d.Related)
	for i := range d.Related {
		d.Related[i].Message, d.Related[i].Line = hide(d.Related[i].Message), hide(d.Related[i].Line)
	}
	return d
}

func redactRecord(r RunRecord, hide func(string) string) RunRecord {
	r.Error = hide(r.Error)
	r.Services = slices.Clone(r.Services)
	for i := range r.Services {
		redactService(&r.Services[i], hide)
	}
	return r
}

func redactService(s *ServiceRecord, hide func(string) string) {
	s.Reason, s.Error, s.Evidence, s.Err = hide(s.Reason), hide(s.Error), redactLines(s.Evidence, hide), redactError(s.Err, hide)
}

func redactLines(lines []string, hide func(string) string) []string {
	lines = slices.Clone(lines)
	for i, line := range lines {
		lines[i] = hide(line)
	}
	return lines
}

// redactError returns an error that behaves like err for errors.Is and errors.As, and
// whose text is redacted by hide. If hide is nil, it returns err itself.
func redactError(err error, hide func(string) string) error {
	if _, done := err.(*redactedError); err == nil || done || hide == nil { //nolint:errorlint // an error that wraps one has its own text
		return err
	}
	return &redactedError{err, hide}
}

// A redactedError is an error whose text is redacted. It does not unwrap to the
// original, so that its text is not accessible.
type redactedError struct {
	err  error
	hide func(string) string
}

func (e *redactedError) Error() string { return e.hide(e.err.Error()) }

// Format writes the text for every verb, so that %#v shows no more than %v.
func (e *redactedError) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(e.Error())) }

// Is reports whether the original is target.
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }

// As is errors.As on the original. Errors of builds, releases and waits for Secrets are
// redacted, too; errors of other types are not found if their text contains something to
// redact.
func (e *redactedError) As(target any) bool {
	if !errors.As(e.err, target) {
		return false
	}
	switch target := target.(type) {
	case **BuildError:
		b := **target
		b.Step, b.Log, b.Err = e.hide(b.Step), redactLines(b.Log, e.hide), redactError(b.Err, e.hide)
		*target = &b
		return true
	case **ReleaseError:
		r := **target
		r.Evidence, r.Err = redactLines(r.Evidence, e.hide), redactError(r.Err, e.hide)
		*target = &r
		return true
	case **ChartError:
		c := **target
		c.Err = redactError(c.Err, e.hide)
		*target = &c
		return true
	case **RunError:
		r := **target
		r.Failed, r.Cause = slices.Clone(r.Failed), redactError(r.Cause, e.hide)
		for i := range r.Failed {
			redactService(&r.Failed[i], e.hide)
		}
		*target = &r
		return true
	case *adviser:
		advice := (*target).Advice()
		advice.Do = e.hide(advice.Do)
		*target = &advisedError{redactError(*target, e.hide), advice}
		return true
	case **SecretsError:
		s := **target
		s.Missing, s.Err = slices.Clone(s.Missing), redactError(s.Err, e.hide)
		for i := range s.Missing {
			if by := s.Missing[i].By; by != nil {
				s.Missing[i].By = &SecretMaker{by.Object, e.hide(by.Why), by.Show}
			}
		}
		*target = &s
		return true
	}
	found := reflect.ValueOf(target).Elem()
	if err, ok := found.Interface().(error); ok && e.hide(err.Error()) == err.Error() {
		return true
	}
	found.SetZero()
	return false
}
