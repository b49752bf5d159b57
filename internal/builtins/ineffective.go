package builtins

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// givenOnly returns the given parameters that only services of a kind have: "generated",
// with a generated chart; "running", which are no jobs; or "scheduled", jobs with a
// schedule. The tag only of their fields says so. ports= is not one for generated charts
// only, because .url, forward and other services read it.
func (c *Call) givenOnly(kind string) (params []string) {
	for p := range c.Passed() {
		if c.argument(p) != nil && slices.Contains(strings.Fields(p.Tag.Get("only")), kind) {
			params = append(params, p.Name)
		}
	}
	return params
}

// argument returns the argument of p, or nil if it is not passed, or is as good as not
// passed: None, False, or empty.
func (c *Call) argument(p *builtins.Param) starlark.Value {
	v := c.Keyword(p.Name)
	if v == nil || v == starlark.None || v == starlark.False || starlark.Len(v) == 0 && p.Tag.Get("empty") != "means" {
		return nil
	}
	return v
}

// ineffective reports arguments that have no effect together with chart=, because the
// chart does not get them. A secret in env= is treated as one in secrets=.
func (c *Call) ineffective(a *common) {
	for _, param := range c.givenOnly("generated") {
		if c.Valid(param) {
			c.besideChart(param, nil)
		}
	}
	if !c.Valid("env") {
		return
	}
	if i := slices.IndexFunc(a.Env, func(e plan.EnvVar) bool { return e.Secret == nil }); i >= 0 {
		c.besideChart("env", explain.Key(a.Env[i].Name))
	}
}

// besideChart reports the argument of param, or the place at in it.
func (c *Call) besideChart(param string, at any) {
	c.rejectAt(param, explain.Errorf("chart= is also given, and the chart would not get it").
		In(at).WithHint("write it in values =, with the key that the chart has for it"), c.givenHere("chart"))
}
