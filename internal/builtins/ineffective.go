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
		c.besideChart("env", explain.Key(a.Env[i].Name))
	}
}

// besideChart reports the argument of param, or the place at in it.
func (c *Call) besideChart(param string, at any) {
	c.rejectAt(param, explain.Errorf("chart= is given, too, and the chart would not get it").
		In(at).WithHint("write it in values =, under the key that the chart has for it"), c.givenHere("chart"))
}
