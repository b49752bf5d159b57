package builtins

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Health is the value of http(), tcp(), grpc() and command().
type Health struct {
	opaque
	plan plan.Health
}

// String returns the call that makes it, without its arguments.
func (h *Health) String() string { return string(h.plan.Kind) + "(…)" }

// Type returns "health".
func (h *Health) Type() string { return "health" }

type httpArgs struct {
	Path    pathArg           `arg:"path" help:"of the request, such as \"/healthz\"; a status of 200 to 399 is healthy"`
	Port    *portArg          `arg:"port,kw" default:"None" help:"the first TCP port of the service if not given"`
	Headers map[string]string `arg:"headers,kw" default:"{}" help:"of the request"`
	probeArgs
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
		h := plan.Health{Kind: plan.HealthHTTP, Path: string(a.Path), Port: a.Port.number(), Probe: c.probe(&a.probeArgs)}
		if len(a.Headers) > 0 {
			h.Headers = a.Headers
			for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
				if !headerName.fits(name) {
					c.wrong("headers", explain.Errorf("%q is not a valid name of a header", explain.Clip(name)))
				}
				if strings.ContainsFunc(a.Headers[name], func(r rune) bool { return r < ' ' && r != '\t' }) {
					c.wrong("headers", explain.Errorf("a header has one line, without control characters").In(name))
				}
			}
		}
		return &Health{plan: h}, nil
	})

type tcpArgs struct {
	Port *portArg `arg:"port" default:"None" help:"the first TCP port of the service if not given"`
	probeArgs
}

var tcpFunc = declare("tcp", "health", "Checks health by a connection.",
	func(c *Call, a *tcpArgs) (starlark.Value, error) {
		return &Health{plan: plan.Health{Kind: plan.HealthTCP, Port: a.Port.number(), Probe: c.probe(&a.probeArgs)}}, nil
	})

type grpcArgs struct {
	Port    *portArg `arg:"port" default:"None" help:"the first TCP port of the service if not given"`
	Service string   `arg:"service,kw" default:"None" help:"the name that the server is asked for; empty if not given"`
	probeArgs
}

var grpcFunc = declare("grpc", "health", "Checks health by the gRPC health protocol, grpc.health.v1.",
	func(c *Call, a *grpcArgs) (starlark.Value, error) {
		h := plan.Health{Kind: plan.HealthGRPC, Port: a.Port.number(), Probe: c.probe(&a.probeArgs)}
		h.Service = a.Service
		return &Health{plan: h}, nil
	})

func (a *portArg) number() int {
	if a == nil {
		return 0
	}
	return a.Number
}

type commandArgs struct {
	Argv []string `arg:"*argv" help:"the program and its arguments; an exit status of 0 is healthy"`
	probeArgs
}

var commandFunc = declare("command", "health", "Checks health by a command that runs in the container.",
	func(c *Call, a *commandArgs) (starlark.Value, error) {
		if len(a.Argv) > 0 && a.Argv[0] == "" {
			c.wrong("argv", explain.Errorf("the program has no name").In(0))
		}
		if len(a.Argv) == 0 && c.Valid("argv") {
			c.wrong("argv", explain.Errorf("no command is given").WithHint(`write, for example, command("pg_isready", "-q")`))
		}
		if len(a.Argv) == 1 && strings.ContainsRune(a.Argv[0], ' ') {
			c.wrong("argv", explain.Errorf("%q is a program and its arguments in one string", explain.Clip(a.Argv[0])).WithHint("write command(%s)", explain.Clip(explain.Literals(explain.ShellWords(a.Argv[0])))))
		}
		return &Health{plan: plan.Health{Kind: plan.HealthCommand, Command: a.Argv, Probe: c.probe(&a.probeArgs)}}, nil
	})

// probeArgs are the times of a check.
type probeArgs struct {
	Period   *durationArg `arg:"period,kw" default:"None" help:"between two checks, in whole seconds; 5s of health=, 10s of liveness=, 1s of startup= if not given"`
	Timeout  *durationArg `arg:"timeout,kw" default:"None" help:"of one check, in whole seconds; 5s if not given"`
	Failures *int         `arg:"failures,kw" default:"None" help:"how many consecutive checks must fail; 3 if not given, of startup= as many as fit into the time that the service may take to start"`
	Delay    *durationArg `arg:"delay,kw" default:"None" help:"before the first check, in whole seconds; none if not given"`
}

// probe checks the times of a check.
func (c *Call) probe(a *probeArgs) (p plan.Probe) {
	p.Period, p.Timeout, p.Delay = c.whole("period", a.Period), c.whole("timeout", a.Timeout), c.whole("delay", a.Delay)
	if a.Failures != nil {
		p.Failures = *a.Failures
		if p.Failures < 1 || p.Failures > 100_000 {
			c.wrong("failures", explain.Errorf("want 1 to 100000, got %d", p.Failures))
		}
	}
	return p
}

// whole returns a duration that has to be in whole seconds; nil is zero.
func (c *Call) whole(param string, d *durationArg) plan.Duration {
	if d == nil {
		return 0
	}
	const maxTime = 24 * time.Hour
	switch t := time.Duration(*d); {
	case t%time.Second != 0:
		c.wrong(param, explain.Errorf("%s is not a whole number of seconds", t).WithHint(`Kubernetes counts seconds: write, for example, "1s"`))
	case t > maxTime:
		c.wrong(param, explain.Errorf("%s is more than a day", t))
	}
	return plan.Duration(*d)
}

// probesArgs are the checks that a service has besides health=.
type probesArgs struct {
	Liveness *Health `arg:"liveness,kw" default:"None" only:"generated" sets:"livenessProbe" help:"a check that restarts the container when it fails; let it depend on nothing else"`
	Startup  *Health `arg:"startup,kw" default:"None" only:"generated" help:"how to check that it has started; health= if not given"`
}

// probes sets the checks of a service.
func (c *Call) probes(t plan.ServiceType, w *plan.Workload, health *Health, a *probesArgs) {
	if !c.Valid("ports") {
		return
	}
	set := func(param string, h *Health, to **plan.Health) {
		if h == nil || !c.Valid(param) {
			return
		}
		if t == plan.Job && param != "health" {
			c.wrong(param, explain.Errorf("a job runs to its end and has no checks").WithHint("timeout = says how long it may run"))
			return
		}
		full := h.plan
		c.wrong(param, completeHealth(&full, w.Ports))
		*to = &full
	}
	set("health", health, &w.Health)
	set("liveness", a.Liveness, &w.Liveness)
	set("startup", a.Startup, &w.Startup)
}

// completeHealth sets the port of a health check.
func completeHealth(h *plan.Health, ports []plan.Port) *explain.Error {
	if h.Kind == plan.HealthCommand {
		return nil
	}
	if h.Port == 0 {
		if len(ports) == 0 {
			return explain.Errorf("the service has no port to check").WithHint("declare it with ports = [port(8080)]")
		}
		h.Port = ports[0].Number
		if i := slices.IndexFunc(ports, func(p plan.Port) bool { return p.Protocol == "TCP" }); i >= 0 {
			h.Port = ports[i].Number
		}
	}
	udp := false
	for _, p := range ports {
		if p.Number == h.Port && p.Protocol == "TCP" {
			return nil
		}
		udp = udp || p.Number == h.Port
	}
	if udp {
		return explain.Errorf("port %d is not a TCP port, and a check connects with TCP", h.Port).WithHint("name a TCP port, or write command(…)")
	}
	if len(ports) > 0 {
		return explain.Errorf("the service has no port %d", h.Port).WithHint("its ports are %s", portList(ports))
	}
	return nil
}
