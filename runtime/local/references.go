package local

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// reference matches the beginning of a reference to a value that a manager of secrets has (D30).
var reference = regexp.MustCompile(`^(secret)?ref\+[a-z0-9]+://`)

// inner matches a reference within a value.
var inner = regexp.MustCompile(`ref\+[a-z0-9]+://`)

// errUnfetched is the error of a value that has not been fetched.
var errUnfetched = errors.New("its value has not been fetched")

// checkReferences returns an error for a value that contains a reference but is not one: it would be used as it is.
func (s *Source) checkReferences() error {
	for name, keys := range s.secrets {
		for _, value := range keys {
			if value = strings.TrimSpace(value); inner.MatchString(value) && (!reference.MatchString(value) || strings.ContainsAny(value, " \n")) {
				return fmt.Errorf("secret %s contains a reference (ref+…://…) and other text; a reference must be the whole value", name)
			}
		}
	}
	return nil
}

// fetched returns a value that was found in the source, or the value that it refers to.
func (s *Source) fetched(value string) (string, error) {
	switch {
	case s.encrypted != nil:
		return "", errUnfetched
	case s.literal || !reference.MatchString(value):
		return value, nil
	}
	if fetched, ok := s.values[strings.TrimSpace(value)]; ok {
		return fetched, nil
	}
	return "", errUnfetched
}

// A wanted value has to be fetched.
type wanted struct {
	source *Source
	ref    plan.SecretRef // the first secret that needs it
	text   string         // the reference; empty: the source is an encrypted file
}

// unfetched returns what must be fetched for the secrets refs, once each.
func (s Secrets) unfetched(refs []plan.SecretRef) (all []wanted) {
	seen := make(map[wanted]bool)
	for _, ref := range refs {
		for _, source := range s {
			value, err := source.find(ref)
			if errors.Is(err, runtime.ErrNotFound) {
				continue
			}
			if err != nil { // reported to whoever needs the secret
				break
			}
			if _, err := source.fetched(value); err != nil {
				w := wanted{source: source}
				if source.encrypted == nil {
					w.text = strings.TrimSpace(value)
				}
				if !seen[w] {
					seen[w] = true
					w.ref = ref
					all = append(all, w)
				}
			}
			break
		}
	}
	return all
}

// FetchSecrets fetches the values of Hide that managers of secrets have, in one request to the program
// pipe-secrets. [Open] calls it. It fails if any of them cannot be fetched, or is empty,
// with a *[SourceError].
func (o Options) FetchSecrets(ctx context.Context) error {
	all, ok := o.Secrets.(Secrets)
	if !ok {
		return nil
	}
	return all.fetch(ctx, o, o.Hide)
}

// fetch fetches the values of refs that have not been fetched.
func (s Secrets) fetch(ctx context.Context, opts Options, refs []plan.SecretRef) error {
	for { // again for the references in encrypted files
		all := s.unfetched(refs)
		if len(all) == 0 {
			return nil
		}
		opts.progress("fetching secrets")
		asks := make([]ask, len(all))
		for i, w := range all {
			if w.text == "" {
				asks[i] = ask{SOPS: w.source.encrypted.data, Format: w.source.encrypted.format}
			} else {
				asks[i] = ask{Reference: w.text, Dir: w.source.dir}
			}
		}
		answers, err := askManagers(ctx, opts, asks)
		switch {
		case ctx.Err() != nil:
			return err
		case err != nil:
			return &SourceError{err}
		}
		var errs []error
		for i, w := range all {
			errs = append(errs, w.set(answers[i]))
		}
		if err := errors.Join(errs...); err != nil {
			return &SourceError{runtime.Advise(err, runtime.Advice{Do: "correct the reference, or log in to the manager: see the page on secrets"})}
		}
	}
}

// set stores a fetched value.
func (w wanted) set(a answer) error {
	s := w.source
	switch {
	case w.text == "" && a.Error != "":
		return fmt.Errorf("%s: decrypt with SOPS: %s", s.name, redact.URLs(a.Error))
	case w.text == "":
		s.encrypted = nil
		clear(s.secrets)
		if err := s.read(s.ext, a.Value); err != nil {
			return fmt.Errorf("%s, decrypted: %w", s.name, err)
		}
		if s.encrypted != nil {
			return fmt.Errorf("%s is encrypted by SOPS twice", s.name)
		}
	case a.Error != "":
		return fmt.Errorf("secret %s: %s of %s: %s", refName(w.ref), shown(w.text), s.name, redact.URLs(a.Error))
	default:
		if s.values == nil {
			s.values = make(map[string]string)
		}
		s.values[w.text] = string(a.Value)
	}
	return nil
}

// shown returns a reference without its parameters, which may be credentials.
func shown(reference string) string {
	before, rest, ok := strings.Cut(reference, "?")
	if !ok {
		return reference
	}
	_, fragment, ok := strings.Cut(rest, "#")
	if !ok {
		return before
	}
	return before + "#" + fragment
}
