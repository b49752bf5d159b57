package builtins

import (
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// choices returns the allowed strings of a parameter of the builtin.
func (c *Call) choices(name string) []string { return c.Func.Param(name).Choices }

// choice checks that v is one of the choices.
func choice(v string, choices []string) *explain.Error {
	for _, c := range choices {
		if v == c {
			return nil
		}
	}
	return explain.Errorf("%q is not possible, want %s", explain.Clip(v), explain.Literals(choices)).Near(v, choices, "")
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
	CPU         string `arg:"cpu,kw" default:"None" help:"asked for, in cores, such as \"500m\" or \"2\""`
	Memory      string `arg:"memory,kw" default:"None" help:"asked for, such as \"256Mi\""`
	CPULimit    string `arg:"cpu_limit,kw" default:"None" help:"at most"`
	MemoryLimit string `arg:"memory_limit,kw" default:"None" help:"at most; a container that takes more is killed"`
}

var resourcesFunc = declare("resources", "resources", "Describes what a container asks for and may use, as Kubernetes quantities.",
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
	return explain.Errorf("%q is less than the %q that is asked for", limit, asked)
}

// A Health is the value of http(), tcp() and command().
type Health struct {
	opaque
	plan plan.Health
}

// String returns the call that makes it, without its arguments.
func (h *Health) String() string { return string(h.plan.Kind) + "(…)" }

// Type returns "health".
func (h *Health) Type() string { return "health" }

type httpArgs struct {
	Path pathArg  `arg:"path" help:"of the request, such as \"/healthz\"; a status of 200 to 399 is healthy"`
	Port *portArg `arg:"port,kw" default:"None" help:"the first port of the service if not given"`
}

// pathArg is the path of an HTTP request.
type pathArg string

func (pathArg) TypeName() string { return "str" }

// Unpack accepts a string that starts with a slash.
func (a *pathArg) Unpack(v starlark.Value) error {
	if n, ok := v.(starlark.Int); ok {
		return convert.Want("str", v).WithHint(`write http("/", port = %s)`, n)
	}
	var text string
	if p := convert.String(&text, v); p != nil {
		return p
	}
	if !strings.HasPrefix(text, "/") {
		return explain.Errorf("%q does not start with a slash", explain.Clip(text)).WithHint("write %q", "/"+strings.TrimPrefix(text, "./"))
	}
	*a = pathArg(text)
	return nil
}

var httpFunc = declare("http", "health", "Checks health by an HTTP request.",
	func(c *Call, a *httpArgs) (starlark.Value, error) {
		return &Health{plan: plan.Health{Kind: plan.HealthHTTP, Path: string(a.Path), Port: a.Port.number()}}, nil
	})

type tcpArgs struct {
	Port *portArg `arg:"port" default:"None" help:"the first port of the service if not given"`
}

var tcpFunc = declare("tcp", "health", "Checks health by a connection.",
	func(c *Call, a *tcpArgs) (starlark.Value, error) {
		return &Health{plan: plan.Health{Kind: plan.HealthTCP, Port: a.Port.number()}}, nil
	})

func (a *portArg) number() int {
	if a == nil {
		return 0
	}
	return a.Number
}

type commandArgs struct {
	Argv []string `arg:"*argv" help:"the program and its arguments; an exit status of 0 is healthy"`
}

var commandFunc = declare("command", "health", "Checks health by a command that runs in the container.",
	func(c *Call, a *commandArgs) (starlark.Value, error) {
		if len(a.Argv) == 0 && c.Valid("argv") {
			c.wrong("argv", explain.Errorf("no command is given").WithHint(`write such as command("pg_isready", "-q")`))
		}
		if len(a.Argv) == 1 && strings.ContainsRune(a.Argv[0], ' ') {
			c.wrong("argv", explain.Errorf("%q is a program and its arguments in one string", explain.Clip(a.Argv[0])).WithHint("write command(%s)", explain.Clip(explain.Literals(explain.ShellWords(a.Argv[0])))))
		}
		return &Health{plan: plan.Health{Kind: plan.HealthCommand, Command: a.Argv}}, nil
	})
