package assemble

import (
	"cmp"
	"fmt"
	"path"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// addresses reports two services, or two ports of one service, that are both public at
// the same address. It ignores services that are skipped here, because they are not
// deployed.
func (a *assembly) addresses(services []*builtins.Service) {
	type address struct{ class, host, path string }
	first := map[address]*builtins.Service{}
	where := map[address]plan.Pos{}
	for _, s := range services {
		for _, p := range s.Claims().Public {
			at := address{p.Class, p.Host, p.Path}
			other := first[at]
			if s.Plan.Skip {
				continue
			}
			if other == nil {
				first[at], where[at] = s, p.Pos
				continue
			}
			place := cmp.Or(p.Host, "any host") + ", " + cmp.Or(p.Path, "/")
			d := plan.Diagnostic{
				Severity: plan.SeverityError, Pos: p.Pos, Stack: s.Stack,
				Message: fmt.Sprintf("%s and %s are both public at %s", other.Plan.Name, s.Plan.Name, place),
				Hint:    "an address leads to one port of one service: give each its own host = …, or path = …",
				Related: []plan.Related{{Pos: where[at], Message: other.Plan.Name + " is public here"}},
			}
			if other == s {
				d.Message = fmt.Sprintf("two ports of %s are public at %s", s.Plan.Name, place)
				d.Related[0].Message = "the first is here"
			}
			a.session.Report(d)
		}
	}
}

// certificates reports hosts that have two certificates, and Secrets in which the
// certificates of two services are to be created. It ignores services that are skipped here,
// because they are not deployed.
func (a *assembly) certificates(services []*builtins.Service) {
	type host struct{ class, name string }
	type use struct {
		service *builtins.Service
		builtins.Public
	}
	of, in := map[host]use{}, map[string]use{}
	report := func(s *builtins.Service, p builtins.Public, first use, hint, format string, args ...any) {
		a.session.Report(plan.Diagnostic{
			Severity: plan.SeverityError, Pos: p.Pos, Stack: s.Stack, Message: fmt.Sprintf(format, args...), Hint: hint,
			Related: []plan.Related{{Pos: first.Pos, Message: "the other one is here"}},
		})
	}
	for _, s := range services {
		for _, p := range s.Claims().Public {
			if p.TLS == nil || s.Plan.Skip {
				continue
			}
			at := host{p.Class, p.Host}
			first, taken := of[at]
			switch {
			case !taken:
				of[at] = use{s, p}
			case secretOf(first.TLS) != secretOf(p.TLS):
				report(s, p, first, "give all ports of a host the same tls =", "%s has two certificates, in the Secrets %s and %s", cmp.Or(p.Host, "any host"), secretOf(first.TLS), secretOf(p.TLS))
				continue
			}
			if p.TLS.Secret != nil {
				continue
			}
			first, taken = in[p.TLS.Name]
			switch {
			case !taken:
				in[p.TLS.Name] = use{s, p}
			case first.service != s && first.Host != p.Host:
				report(s, p, first, "give one of them tls = secret(…)", "the certificates of %s and %s would both be in the Secret %s", first.Host, p.Host, p.TLS.Name)
			}
		}
	}
}

// secretOf returns the name of the Secret of a certificate.
func secretOf(t *plan.TLS) string {
	if t.Secret != nil {
		return t.Secret.Name
	}
	return t.Name
}

// locals reports two ports that ask for the same local port of this machine. It includes
// services that are skipped here, because pipe forwards to them as well: they may be
// running.
func (a *assembly) locals(services []*builtins.Service) {
	var first holders[int]
	for _, s := range services {
		for _, l := range s.Claims().Locals {
			first.hold(a, s, l.Port, l.Pos, "the local port %d", l.Port, "a local port leads to one port of one service: give each another local = …")
		}
	}
}

// nodePorts reports two ports that ask for the same port of the nodes. It ignores services
// that are skipped here, because they are not deployed.
func (a *assembly) nodePorts(services []*builtins.Service) {
	type node struct {
		port     int
		protocol string
	}
	var first holders[node]
	for _, s := range services {
		for _, p := range s.Claims().NodePorts {
			if !s.Plan.Skip {
				first.hold(a, s, node{p.Port, p.Protocol}, p.Pos, "port %d of the nodes", p.Port, "a port of the nodes leads to one port of one service: give each another node_port = …")
			}
		}
	}
}

// holders are the first ports that ask for something that only one port can have.
type holders[K comparable] map[K]holder

type holder struct {
	service string
	pos     plan.Pos
}

// hold records that a port of s asks for a number, or reports the port that has it already.
// format describes the number.
func (h *holders[K]) hold(a *assembly, s *builtins.Service, key K, pos plan.Pos, format string, number int, hint string) {
	other, taken := (*h)[key]
	if !taken {
		if *h == nil {
			*h = make(holders[K])
		}
		(*h)[key] = holder{s.Plan.Name, pos}
		return
	}
	what := fmt.Sprintf(format, number)
	d := plan.Diagnostic{
		Severity: plan.SeverityError, Pos: pos, Stack: s.Stack,
		Message: fmt.Sprintf("%s and %s both have %s", other.service, s.Plan.Name, what),
		Hint:    hint,
		Related: []plan.Related{{Pos: other.pos, Message: other.service + " has it here"}},
	}
	if other.service == s.Plan.Name {
		d.Message = fmt.Sprintf("two ports of %s have %s", s.Plan.Name, what)
		d.Related[0].Message = "the first is here"
	}
	a.session.Report(d)
}

// peers reports names in network= that no service has.
func (a *assembly) peers(services []*builtins.Service) {
	var names []string
	var known map[string]bool
	for _, s := range services {
		for _, p := range s.Claims().Peers {
			if known == nil {
				known = make(map[string]bool, len(services))
				for _, other := range services {
					known[other.Plan.Name] = true
					names = append(names, other.Plan.Name)
				}
			}
			if !known[p.Service] {
				a.session.Report(plan.Diagnostic{
					Severity: plan.SeverityError, Pos: p.Pos, Stack: s.Stack, Suggest: misspell.Nearest(p.Service, names),
					Message: fmt.Sprintf("network of %s: there is no service %q", s.Plan.Name, p.Service),
				})
			}
		}
	}
}

// credentials warns about Secrets whose name suggests that a database's own credentials
// are meant.
func (a *assembly) credentials(services []*builtins.Service) {
	databases := map[string]*builtins.Service{}
	for _, s := range services {
		if s.Plan.Type == plan.Database {
			databases[plan.CredentialsName(s.Plan.Name)] = s
		}
	}
	if len(databases) == 0 {
		return
	}
	for _, s := range services {
		for in, ref := range s.Plan.SecretRefs() {
			if ref.Service != "" || databases[ref.Name] == nil || databases[ref.Name] == s { // a sidecar of the database has no other way
				continue
			}
			db := databases[ref.Name]
			hint := "write its attributes: .url, .user and .password are secrets, .host, .port and .database are known here"
			switch key := ref.Key; key {
			case "url", "user", "password", "host", "port", "database":
				hint = fmt.Sprintf("write .%s of the database, such as %s", key, db.Example(key))
			case "":
				hint = "name one of its keys with key =, or " + hint
			default:
				hint = fmt.Sprintf("it has no key %q: %s", key, hint)
			}
			a.session.Report(plan.Diagnostic{
				Severity: plan.SeverityWarning, Pos: s.Plan.Pos, Stack: s.Stack, Hint: hint, Rule: "own-credentials",
				Message: fmt.Sprintf("%s of %s is taken from the secret %s, which is made for the database %s when it is deployed", in, s.Plan.Name, ref.Name, db.Plan.Name),
				Related: []plan.Related{{Pos: db.Plan.Pos, Message: "the database is here"}},
			})
		}
	}
}

// unbuilt warns about services with a chart next to a Dockerfile that nothing builds.
func (a *assembly) unbuilt(p *plan.Plan, services []*builtins.Service) {
	built := map[string]bool{}
	for _, b := range p.Builds {
		if b.Source.Git == "" {
			built[path.Join(b.Source.Path, b.Dockerfile)] = true
		}
	}
	for _, s := range services {
		u := s.Claims().Unbuilt
		if u.Dockerfile == "" || built[u.Dockerfile] {
			continue
		}
		a.session.Report(plan.Diagnostic{
			Severity: plan.SeverityWarning, Pos: u.Pos, Stack: s.Stack, Rule: "unbuilt",
			Message: fmt.Sprintf("%s has a chart, so that %s is not built", s.Plan.Name, u.Dockerfile),
			Hint:    "write source = local(\".\") to build it for the chart, or source = None if the chart brings its own image",
			Related: []plan.Related{{Pos: plan.Pos{File: u.Dockerfile}, Message: "nothing builds this file"}},
		})
	}
}
