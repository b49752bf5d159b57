package builtins

import (
	"slices"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// choice checks that v is one of the strings that are allowed for param.
func (c *Call) choice(param, v string) *explain.Error {
	choices := c.Func.Param(param).Choices
	if slices.Contains(choices, v) {
		return nil
	}
	return explain.Errorf("%q is not valid, want %s", explain.Clip(v), explain.Literals(choices)).Near(v, choices, "")
}

// A Resources is the value of resources().
type Resources struct {
	opaque
	plan plan.Resources
}

// String returns "resources(…)".
func (r *Resources) String() string { return "resources(…)" }

// Type returns "resources".
func (r *Resources) Type() string { return "resources" }

type resourcesArgs struct {
	CPU         string `arg:"cpu,kw" default:"None" help:"the request, in cores, such as \"500m\" or \"2\""`
	Memory      string `arg:"memory,kw" default:"None" help:"the request, such as \"256Mi\""`
	CPULimit    string `arg:"cpu_limit,kw" default:"None" help:"the limit"`
	MemoryLimit string `arg:"memory_limit,kw" default:"None" help:"the limit; a container that exceeds it is killed"`
}

var resourcesFunc = declare("resources", "resources", "Describes the resource requests and limits of a container, as Kubernetes quantities.",
	func(c *Call, a *resourcesArgs) (starlark.Value, error) {
		if a.CPU != "" {
			c.wrong("cpu", checkQuantity(a.CPU, "500m"))
		}
		if a.CPULimit != "" {
			c.wrong("cpu_limit", checkQuantity(a.CPULimit, "2"))
		}
		if a.Memory != "" {
			c.wrong("memory", checkMemory(a.Memory, "256Mi"))
		}
		if a.MemoryLimit != "" {
			c.wrong("memory_limit", checkMemory(a.MemoryLimit, "1Gi"))
		}
		if c.Valid("cpu") && c.Valid("cpu_limit") {
			c.wrong("cpu_limit", atLeast(a.CPULimit, a.CPU))
		}
		if c.Valid("memory") && c.Valid("memory_limit") {
			c.wrong("memory_limit", atLeast(a.MemoryLimit, a.Memory))
		}
		return &Resources{plan: plan.Resources(*a)}, nil
	})

// atLeast checks that a limit is not below the request.
func atLeast(limit, asked string) *explain.Error {
	if limit == "" || asked == "" || quantityValue(limit) >= quantityValue(asked) {
		return nil
	}
	return explain.Errorf("%q is less than the request, %q", limit, asked)
}
