package builtins

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/plan"
)

// envArg is the dict of env=, sorted by name.
type envArg []plan.EnvVar

func (envArg) typeName() string { return "dict[str, str | int | bool | float | secret]" }

// Unpack takes text, numbers and truth values as text, and secrets as references.
func (e *envArg) Unpack(v starlark.Value) error {
	var out envArg
	p := eachVariable(v, `"value"`, func(name string, v starlark.Value) *problem {
		if s, ok := v.(*Secret); ok {
			out = append(out, plan.EnvVar{Name: name, Secret: &s.ref})
			return nil
		}
		text, p := scalar(v)
		if _, isText := v.(starlark.String); p != nil && !isText {
			p.msg = "want string, int, bool, float or secret, got " + v.Type()
			switch v := v.(type) {
			case *Service:
				p.hint = fmt.Sprintf("pass what the program needs of it: such as %s.host or %s.url", v.Plan.Name, v.Plan.Name)
			case starlark.NoneType:
				p.hint = "leave the variable out, or give an empty text"
			case *starlark.List, starlark.Tuple, *starlark.Dict:
				p.hint = "json.encode() or \",\".join() make text of it"
			}
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
	sortEnv(out)
	*e = out
	return nil
}

// secretsArg is the dict of secrets=: secrets or their names.
type secretsArg []plan.EnvVar

func (secretsArg) typeName() string { return "dict[str, secret | str]" }

// Unpack takes secrets and names of secrets.
func (e *secretsArg) Unpack(v starlark.Value) error {
	var out secretsArg
	p := eachVariable(v, `secret("name")`, func(name string, v starlark.Value) *problem {
		ref, p := secretRef(v)
		out = append(out, plan.EnvVar{Name: name, Secret: ref})
		return p
	})
	if p != nil {
		return p
	}
	sortEnv(out)
	*e = out
	return nil
}

// eachVariable calls one for each variable of a dict, whose values are such as example.
func eachVariable(v starlark.Value, example string, one func(string, starlark.Value) *problem) *problem {
	if _, ok := v.(*starlark.Dict); !ok {
		return want("dict", v).hinted(`write {"NAME": %s}`, example)
	}
	return eachItem(v, "dict", func(name string, v starlark.Value) *problem {
		if p := checkEnvName(name); p != nil {
			return p
		}
		return one(name, v)
	})
}

func secretRef(v starlark.Value) (*plan.SecretRef, *problem) {
	switch v := v.(type) {
	case *Secret:
		return &v.ref, nil
	case starlark.String:
		return &plan.SecretRef{Name: string(v)}, checkSecretName(string(v))
	}
	return nil, problemf("want secret or string, got %s", v.Type())
}

func sortEnv(env []plan.EnvVar) {
	slices.SortFunc(env, func(a, b plan.EnvVar) int { return strings.Compare(a.Name, b.Name) })
}

// join adds the secrets to the variables. Both are sorted.
func joinEnv(c *Call, env envArg, secrets secretsArg) []plan.EnvVar {
	if len(secrets) == 0 {
		return env
	}
	out := slices.Concat(env, envArg(secrets))
	sortEnv(out)
	for i := range len(out) - 1 {
		if out[i].Name == out[i+1].Name {
			c.wrong("secrets", problemf("%s stands in env, too", out[i].Name).in(out[i].Name))
		}
	}
	return out
}
