package builtins

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Port is the value of port().
type Port struct {
	opaque
	plan plan.Port
}

// String returns the call that makes such a port.
func (p *Port) String() string { return "port(" + strconv.Itoa(p.plan.Number) + ")" }

// Type returns "port".
func (p *Port) Type() string { return "port" }

// AttrNames returns the attributes.
func (p *Port) AttrNames() []string { return []string{"name", "number", "service"} }

// Attr returns an attribute.
func (p *Port) Attr(name string) (starlark.Value, error) {
	switch name {
	case "number":
		return starlark.MakeInt(p.plan.Number), nil
	case "service":
		return starlark.MakeInt(p.plan.ServicePort()), nil
	case "name":
		return starlark.String(p.plan.Name), nil
	}
	return nil, nil
}

type portArgs struct {
	Number   int    `arg:"number" help:"at which the container listens, 1 to 65535"`
	Name     string `arg:"name,kw" default:"None" help:"at most 15 lower-case letters, digits and hyphens; port-<number> if not given"`
	Protocol string `arg:"protocol,kw" default:"\"TCP\"" choices:"TCP|UDP|SCTP" help:"TCP, UDP or SCTP"`
	Public   bool   `arg:"public,kw" default:"False" help:"reached from outside of the cluster, through an Ingress"`
	Host     string `arg:"host,kw" default:"None" help:"the host name of the Ingress"`
	Local    *int   `arg:"local,kw" default:"None" help:"the port of your machine at which pipe forward, and watch mode with --forward, open it; its own number, or another one if that is taken, if not given"`
	exposureArgs
}

var portFunc = declare("port", "port", "Describes a port that a service listens on.",
	func(c *Call, a *portArgs) (starlark.Value, error) {
		if c.Valid("number") {
			c.wrong("number", checkPort(a.Number))
		}
		if a.Name != "" {
			c.wrong("name", checkPortName(a.Name))
		} else {
			a.Name = portName(a.Number)
		}
		if p := c.choice("protocol", a.Protocol); p != nil {
			c.wrong("protocol", p)
		}
		if a.Host != "" {
			c.wrong("host", checkHost(a.Host))
			if !a.Public {
				c.wrong("host", explain.Errorf("is given, but the port is not public").WithHint("add public = True"))
			}
		}
		if a.Public && a.Protocol != "TCP" {
			c.wrong("public", explain.Errorf("an Ingress supports only TCP ports"))
		}
		p := plan.Port{Number: a.Number, Name: a.Name, Protocol: a.Protocol, Public: a.Public, Host: a.Host}
		if a.Local != nil {
			c.wrong("local", checkPort(*a.Local))
			if a.Protocol != "TCP" && c.Valid("protocol") {
				c.wrong("local", explain.Errorf("only TCP ports can be forwarded"))
			}
			p.Local = *a.Local
		}
		p.Exposure = c.exposure(a)
		return &Port{plan: p}, nil
	})

// tcpPort returns the port that a number alone represents.
func tcpPort(number int) plan.Port {
	return plan.Port{Number: number, Name: portName(number), Protocol: "TCP"}
}

func portName(number int) string { return "port-" + strconv.Itoa(number) }

func checkPortName(name string) *explain.Error {
	if p := checkName(name, 15); p != nil {
		return p
	}
	if !strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz") || strings.Contains(name, "--") {
		return explain.Errorf("%q is not a valid port name: it needs a letter, and no two consecutive hyphens", name)
	}
	return nil
}

func checkHost(host string) *explain.Error {
	if _, err := netip.ParseAddr(host); err == nil {
		return explain.Errorf("%q is an address: an Ingress requires a host name", host).WithHint("write a host name, or leave it out for all hosts")
	}
	h := strings.TrimPrefix(host, "*.")
	for _, part := range strings.Split(h, ".") {
		if checkName(part, plan.MaxName) != nil || len(host) > plan.MaxSubdomain {
			return explain.Errorf("%q is not a valid host name", explain.Clip(host))
		}
	}
	return nil
}

// portArg is a port(), or its number alone.
type portArg struct{ plan.Port }

func (portArg) TypeName() string { return "port | int" }

// Unpack accepts both.
func (a *portArg) Unpack(v starlark.Value) error {
	if p, ok := v.(*Port); ok {
		a.Port = p.plan
		return nil
	}
	var n int
	if p := convert.Int(&n, v); p != nil {
		return convert.Want("port", v)
	}
	a.Port = tcpPort(n)
	if p := checkPort(n); p != nil {
		return p
	}
	return nil
}

// ports adds the ports and checks that they are distinct. It returns the ports of this
// machine that they request.
func (c *Call) ports(w *plan.Workload, ports []portArg) (locals []Local) {
	_ = c.Session.Meter.Charge(portSize * uint64(len(ports)))
	type endpoint struct {
		number   int
		protocol string
	}
	numbers, names := make(map[endpoint]bool, len(ports)), make(map[string]bool, len(ports))
	moved := false
	w.Ports = slices.Grow(w.Ports, len(ports))
	for i, p := range ports {
		at := endpoint{p.Number, p.Protocol}
		// Port 53 over TCP and over UDP have the same default name.
		if !numbers[at] && names[p.Name] && p.Name == portName(p.Number) {
			p.Name += "-" + string([]byte{p.Protocol[0] | 0x20})
		}
		switch {
		case numbers[at]:
			c.wrong("ports", explain.Errorf("port %d is given twice", p.Number).In(i))
		case names[p.Name]:
			c.wrong("ports", explain.Errorf("the name %q is given twice", p.Name).In(i))
		}
		numbers[at], names[p.Name] = true, true
		moved = moved || p.Service != 0
		w.Ports = append(w.Ports, p.Port)
		if p.Local != 0 {
			locals = append(locals, Local{p.Local, c.ArgPos("ports", i)})
		}
	}
	if moved {
		c.servicePorts(w.Ports)
	}
	return locals
}

// servicePorts checks that the ports of the Kubernetes Service are distinct.
func (c *Call) servicePorts(ports []plan.Port) {
	for i, p := range ports {
		first := slices.IndexFunc(ports[:i], func(o plan.Port) bool { return o.ServicePort() == p.ServicePort() && o.Protocol == p.Protocol })
		if first >= 0 {
			c.twoPorts(first, i, explain.Errorf("port %d of the Kubernetes Service already leads to port %d", p.ServicePort(), ports[first].Number).WithHint("give each port another service ="))
			return
		}
	}
}
