package reach

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// A TargetError means that a requested target is invalid.
type TargetError struct {
	Target     string   // as requested, such as "web:htp"
	Problem    string   // such as `web has no port "htp"`
	Name       string   // the unknown name, if that is the problem
	Candidates []string // the known names, if that is the problem
}

func (e *TargetError) Error() string {
	if e.Target == e.Name {
		return e.Problem
	}
	return e.Target + ": " + e.Problem
}

// Targets returns the TCP ports of the services for which wanted is true, in the
// order of the plan, with the local ports that the plan gives them.
func Targets(p *plan.Plan, wanted func(*plan.Service) bool) []Target {
	var all []Target
	for i := range p.Services {
		if s := &p.Services[i]; wanted(s) {
			all = append(all, targetsOf(s)...)
		}
	}
	return all
}

func targetsOf(s *plan.Service) []Target {
	var all []Target
	for _, port := range s.Workload.Ports {
		if port.Protocol == tcp {
			all = append(all, Target{Service: s.Name, Port: port.Number, Local: port.Local})
		}
	}
	return all
}

// tcp is the protocol that can be forwarded.
const tcp = "TCP"

// ParseTargets parses targets of the form SERVICE[:PORT[=LOCAL]], and returns each once. PORT
// is a number of the container, which need not be in the plan, the number of a declared port
// in the Kubernetes Service, or the name of a port. Without PORT, all TCP
// ports of the service are returned. Without LOCAL, the local port is that of the plan, if it
// has one. The error is a *TargetError.
func ParseTargets(p *plan.Plan, names []string) ([]Target, error) {
	var all []Target
	for _, name := range names {
		targets, err := parseTarget(p, name)
		if err != nil {
			return nil, err
		}
		for _, t := range targets {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

func parseTarget(p *plan.Plan, target string) ([]Target, error) {
	name, rest, hasPort := strings.Cut(target, ":")
	port, local, hasLocal := strings.Cut(rest, "=")
	s := p.Service(name)
	if before, after, ok := strings.Cut(name, "="); s == nil && ok {
		return nil, &TargetError{Target: target, Problem: fmt.Sprintf("name the port of %s that the local port %s leads to, as in %s:8080=%s", before, after, before, after)}
	}
	if s == nil {
		e := &TargetError{Target: target, Problem: fmt.Sprintf("the plan has no service %q", name), Name: name}
		for i := range p.Services {
			e.Candidates = append(e.Candidates, p.Services[i].Name)
		}
		return nil, e
	}
	if !hasPort {
		all := targetsOf(s)
		if len(all) == 0 {
			return nil, &TargetError{Target: target, Problem: fmt.Sprintf("%s declares no TCP port; name one, as in %s:8080", name, name)}
		}
		return all, nil
	}
	t := Target{Service: name}
	var err error
	if t.Port, t.Local, err = portOf(s, target, port); err != nil {
		return nil, err
	}
	if hasLocal {
		var ok bool
		if t.Local, ok = portNumber(local); !ok {
			return nil, &TargetError{Target: target, Problem: fmt.Sprintf("%q is not a valid port: use a number from 1 to 65535", local)}
		}
	}
	return []Target{t}, nil
}

// portOf returns the number and the local port of a port of a service, which is given by
// number or name.
func portOf(s *plan.Service, target, port string) (remote, local int, err error) {
	number, isNumber := portNumber(port)
	var names []string
	var service, other *plan.Port // with that number of the Kubernetes Service, and of another protocol
	for i := range s.Workload.Ports {
		declared := &s.Workload.Ports[i]
		names = append(names, declared.Name)
		switch {
		case declared.Name != port && (!isNumber || declared.Number != number):
			if isNumber && declared.Protocol == tcp && declared.ServicePort() == number {
				service = declared
			}
		case declared.Protocol == tcp:
			return declared.Number, declared.Local, nil
		default:
			other = declared
		}
	}
	if service != nil {
		return service.Number, service.Local, nil
	}
	if other != nil {
		return 0, 0, &TargetError{Target: target, Problem: fmt.Sprintf("port %d of %s is %s: only TCP ports can be forwarded", other.Number, s.Name, other.Protocol)}
	}
	if !isNumber {
		return 0, 0, &TargetError{Target: target, Problem: fmt.Sprintf("%s has no port %q", s.Name, port), Name: port, Candidates: names}
	}
	return number, 0, nil
}

func portNumber(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= 65535
}

// Event returns the event for watch mode. p is the plan of the service.
func (f Forward) Event(p *plan.Plan) runtime.Forwarding {
	return runtime.Forwarding{Port: f.Port, URL: f.URL(p), State: string(f.State), Reason: text(f.Err)}
}

// URL returns the address of the target: with a scheme if the plan indicates that it uses
// HTTP, and otherwise without one. It is empty if the forward does not listen.
func (f Forward) URL(p *plan.Plan) string {
	if !f.Address.IsValid() {
		return ""
	}
	host := f.Address.Addr().String()
	if f.Address.Addr() == loopback[0] {
		host = "localhost"
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(f.Address.Port())))
	s := p.Service(f.Service)
	if s == nil || s.Type == plan.Database || s.Type == plan.Job {
		return address
	}
	for _, port := range s.Workload.Ports {
		if port.Number == f.Port && (port.Name == "https" || port.Number == 443 || port.Service == 443) {
			return "https://" + address
		}
	}
	return "http://" + address
}
