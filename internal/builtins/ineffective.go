package builtins

import (
	"slices"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// generatedOnly are the parameters that only generated charts read. ports= is not one of
// them, because .url, forward and other services read it, and neither is secrets=,
// because a chart gets a digest of it.
var generatedOnly = []string{
	"command", "args", "replicas", "resources", "health", "volumes", "files", "labels", "storage", "shared_memory", "schedule", "retries", "init", "sidecars", "patch",
	"liveness", "startup", "autoscale", "service_account", "rbac", "disruption", "strategy", "spread",
	"annotations", "pre_stop", "termination", "time_zone", "concurrency", "history", "deadline",
}

// ineffective reports arguments that have no effect together with chart=, because the
// chart does not get them. A secret in env= is treated as one in secrets=.
func (c *Call) ineffective(a *common) {
	for _, param := range generatedOnly {
		if c.argument(param) != nil && c.Valid(param) {
			c.besideChart(param, nil)
		}
	}
	if !c.Valid("env") {
		return
	}
	if i := slices.IndexFunc(a.Env, func(e plan.EnvVar) bool { return e.Secret == nil }); i >= 0 {
		c.besideChart("env", a.Env[i].Name)
	}
}

// besideChart reports the argument of param, or its entry with the key at.
func (c *Call) besideChart(param string, at any) {
	name, pos := param, c.ArgPos(param, nil)
	if key, ok := at.(string); ok {
		name, pos = name+explain.Elem(key), c.ArgPos(param, explain.Key(key))
	}
	d := c.Diagnostic(pos, explain.Errorf("%s: chart= is given, too, and the chart would not get it", name).
		WithHint("write it in values =, under the key that the chart has for it"))
	d.Related = []plan.Related{{Pos: c.ArgPos("chart", nil), Message: "chart= is given here"}}
	c.Session.Report(d)
	c.Invalidate(param)
}
