package builtins

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

const secretHint = "a secret's value is not known here: pass it on its own, as env = {\"NAME\": it} of a service"

// A Secret is a reference to a secret. It can only be the value of an environment
// variable: its value is never available here (D4).
type Secret struct {
	opaque
	ref plan.SecretRef
}

type secretArgs struct {
	Name string `arg:"name" help:"the secret's name where secrets come from: a Kubernetes Secret, a file, a variable"`
	Key  string `arg:"key,kw" default:"None" help:"the key in it; not needed if there is only one"`
}

var secretFunc = declare("secret", "secret",
	"Refers to a secret. The reference can be given to `env=`, `secrets=`, `files=` and the `values=` of a chart; the Pipelinefile never sees the value, and no plan contains it.",
	func(c *Call, a *secretArgs) (starlark.Value, error) {
		c.wrong("name", checkSecretName(a.Name))
		if a.Key != "" && !secretName.fits(a.Key) {
			c.wrong("key", explain.Errorf("%q is not a valid secret key", explain.Clip(a.Key)))
		}
		return &Secret{ref: plan.SecretRef{Name: a.Name, Key: a.Key}}, nil
	})

func checkSecretName(name string) *explain.Error {
	if !secretName.fits(name) {
		return explain.Errorf("%q is not a valid secret name", explain.Clip(name)).WithHint("letters, digits, '-', '_' and '.'")
	}
	return nil
}

func (s *Secret) what() string {
	switch {
	case s.ref.Service != "":
		return fmt.Sprintf("secret %s of %s", s.ref.Key, s.ref.Service)
	case s.ref.Key != "":
		return fmt.Sprintf("secret %s, key %s", s.ref.Name, s.ref.Key)
	}
	return "secret " + s.ref.Name
}

// String returns a placeholder that names the secret.
func (s *Secret) String() string { return "<" + s.what() + ">" }

// Type returns "secret".
func (s *Secret) Type() string { return "secret" }

// Binary rejects all operators on a secret.
func (s *Secret) Binary(op syntax.Token, _ starlark.Value, _ starlark.Side) (starlark.Value, error) {
	return nil, &explain.Error{Msg: fmt.Sprintf("%s: the %s cannot be made part of another value", op, s.what()), Hint: secretHint}
}

// Instead says where a secret can be used.
func (s *Secret) Instead(typ string) string {
	if typ == "signing_key" {
		return "write sign = signing_key(secret(…))"
	}
	return secretHint
}

// MarshalJSON makes json.encode fail.
func (s *Secret) MarshalJSON() ([]byte, error) {
	return nil, fmt.Errorf("the %s cannot be encoded; %s", s.what(), secretHint)
}

// HasSecret returns an error if v contains a secret. op is the operation that is about to
// convert v to a string.
func HasSecret(op string, v starlark.Value) error {
	if s := secretIn(v, 0); s != nil {
		return &explain.Error{Msg: fmt.Sprintf("%s: the %s cannot be converted to a string", op, s.what()), Hint: secretHint}
	}
	return nil
}

// secretIn returns a secret in v. It stops at a depth that real values never reach.
func secretIn(v starlark.Value, depth int) *Secret {
	if depth > 20 {
		return nil
	}
	var found *Secret
	look := func(e starlark.Value) bool {
		if found == nil {
			found = secretIn(e, depth+1)
		}
		return found == nil
	}
	switch v := v.(type) {
	case *Secret:
		return v
	case starlark.Tuple:
		for _, e := range v {
			if !look(e) {
				break
			}
		}
	case *starlark.List:
		for e := range v.Elements() {
			if !look(e) {
				break
			}
		}
	case *starlark.Dict:
		for k, e := range v.Entries() {
			if !look(k) || !look(e) {
				break
			}
		}
	case *starlarkstruct.Struct:
		for _, name := range v.AttrNames() {
			if e, err := v.Attr(name); err == nil && !look(e) {
				break
			}
		}
	}
	return found
}

// textFunc returns a builtin of Starlark that makes a string, with a check for secrets
// first.
func (s *Session) textFunc(name string) *starlark.Builtin {
	inner := starlark.Universe[name].(*starlark.Builtin)
	return starlark.NewBuiltin(name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		before := s.Meter.Steps()
		if len(args) == 1 {
			if text, isText := args[0].(starlark.String); isText {
				if name == "repr" {
					if err := s.Meter.Make(int(s.Meter.QuotedSize(string(text)))); err != nil {
						return nil, err
					}
				}
				return s.Meter.Await(before, inner, th, args, kwargs)
			}
			if err := s.Meter.Text(args[0]); err != nil {
				return nil, err
			}
			if err := HasSecret(name, args[0]); err != nil {
				return nil, err
			}
		}
		return s.Meter.Await(before, inner, th, args, kwargs)
	})
}

// opaque has the methods that all our values have in common: they are immutable.
type opaque struct{}

// Freeze does nothing.
func (opaque) Freeze() {}

// Truth is true.
func (opaque) Truth() starlark.Bool { return starlark.True }

// Hash fails.
func (opaque) Hash() (uint32, error) { return 0, errors.New("not usable as a key of a dict") }
