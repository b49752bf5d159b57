package builtins

import (
	"iter"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// envArg is the dict of env=, in its order: a value can contain $(NAME) of an earlier
// variable.
type envArg []plan.EnvVar

func (envArg) TypeName() string { return "dict[str, str | int | bool | float | secret | variable]" }

// Unpack accepts strings, numbers and booleans as strings, and secrets as references.
func (e *envArg) Unpack(v starlark.Value) error {
	out := envArg(room(v))
	p := eachVariable(v, `"value"`, func(name string, v starlark.Value) *explain.Error {
		if s, ok := v.(*Secret); ok {
			out = append(out, plan.EnvVar{Name: name, Secret: &s.ref})
			return nil
		}
		if s, ok := v.(*EnvSource); ok {
			out = append(out, plan.EnvVar{Name: name, EnvSource: s.plan})
			return nil
		}
		text, p := convert.Scalar(v)
		if _, isText := v.(starlark.String); p != nil && !isText {
			p.Msg = "want string, int, bool, float or secret, got " + v.Type()
			switch v := v.(type) {
			case *Service:
				p.Hint = "pass what the program needs of it: such as " + v.Example("host") + " or " + v.Example("url")
			case starlark.NoneType:
				p.Hint = "leave the variable out, or give an empty string"
			case *starlark.List, starlark.Tuple, *starlark.Dict:
				p.Hint = "json.encode() or \",\".join() make text of it"
			}
		}
		if p == nil && strings.ContainsRune(text, 0) {
			p = explain.Errorf("the value of a variable cannot have a zero byte")
		}
		if p != nil {
			return p
		}
		out = append(out, plan.EnvVar{Name: name, Value: text})
		return nil
	})
	if p != nil {
		return p
	}
	*e = out
	return nil
}

// secretsArg is the dict of secrets=, in its order: secrets or their names.
type secretsArg []plan.EnvVar

func (secretsArg) TypeName() string { return "dict[str, secret | str]" }

// Unpack accepts secrets and names of secrets.
func (e *secretsArg) Unpack(v starlark.Value) error {
	out := secretsArg(room(v))
	p := eachVariable(v, `secret("name")`, func(name string, v starlark.Value) *explain.Error {
		ref, p := secretRef(v)
		out = append(out, plan.EnvVar{Name: name, Secret: ref})
		return p
	})
	if p != nil {
		return p
	}
	*e = out
	return nil
}

// room returns an empty list with room for the variables of a dict.
func room(v starlark.Value) []plan.EnvVar {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return nil
	}
	return slices.Grow([]plan.EnvVar(nil), d.Len())
}

// eachVariable calls one for each variable of a dict. example is an example of its
// values.
func eachVariable(v starlark.Value, example string, one func(string, starlark.Value) *explain.Error) *explain.Error {
	if _, ok := v.(*starlark.Dict); !ok {
		return convert.Want("dict", v).WithHint(`write {"NAME": %s}`, example)
	}
	return convert.Entries(v, "dict", func(name string, v starlark.Value) *explain.Error {
		if p := checkEnvName(name); p != nil {
			return p
		}
		return one(name, v)
	})
}

func secretRef(v starlark.Value) (*plan.SecretRef, *explain.Error) {
	switch v := v.(type) {
	case *Secret:
		return &v.ref, nil
	case starlark.String:
		return &plan.SecretRef{Name: string(v)}, checkSecretName(string(v))
	}
	return nil, explain.Errorf("want secret or string, got %s", v.Type())
}

// joinEnv returns the variables of secrets=, which contain no $(NAME), followed by those
// of env=, which may refer to any secret.
func joinEnv(c *Call, env envArg, secrets secretsArg) []plan.EnvVar {
	if len(secrets) == 0 {
		return env
	}
	names := make(map[string]bool, len(env))
	for _, e := range env {
		names[e.Name] = true
	}
	for _, e := range secrets {
		if names[e.Name] {
			c.wrong("secrets", explain.Errorf("%s is also in env", e.Name).In(e.Name))
		}
	}
	return slices.Concat([]plan.EnvVar(secrets), []plan.EnvVar(env))
}

// expansions warns about the first value with $(NAME) of a later variable.
func (c *Call) expansions(env envArg) {
	var at map[string]int
	for i, e := range env {
		if !strings.Contains(e.Value, "$(") {
			continue
		}
		if at == nil {
			at = make(map[string]int, len(env))
			for i, e := range env {
				at[e.Name] = i
			}
		}
		for name := range expanded(e.Value) {
			if at[name] <= i {
				continue
			}
			d := c.Diagnostic(c.ArgPos("env", e.Name), explain.Errorf("env[%q]: $(%s) is not expanded: %s comes after %s", e.Name, name, name, e.Name).
				WithHint("Kubernetes only expands variables that come before: move %s before %s", name, e.Name))
			d.Severity, d.Rule = plan.SeverityWarning, "env-order"
			d.Related = []plan.Related{{Pos: c.ArgPos("env", name), Message: name + " is here"}}
			c.Session.Report(d)
			return
		}
	}
}

// expanded returns the names in the $(NAME) references of a value; $$ is an escaped
// dollar sign (Kubernetes' rule).
func expanded(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			i := strings.IndexByte(value, '$')
			if i < 0 || i+1 == len(value) {
				return
			}
			next := value[i+1]
			value = value[i+2:]
			if next != '(' {
				continue
			}
			name, rest, closed := strings.Cut(value, ")")
			if !closed || !yield(name) {
				return
			}
			value = rest
		}
	}
}
