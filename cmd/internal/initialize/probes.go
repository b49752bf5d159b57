package initialize

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// run adds an argument about how a service runs; value is code.
func (s *service) run(name, value string) { s.running = append(s.running, pair{name, value}) }

// probes converts the checks of a container.
func (c *cluster) probes(s *service, main corev1.Container) {
	ready := main.ReadinessProbe
	if ready == nil {
		ready = main.StartupProbe
	}
	s.health = c.probe(s, main, ready, "readinessProbe", "health")
	if main.ReadinessProbe != nil && main.StartupProbe != nil {
		if h := c.probe(s, main, main.StartupProbe, "startupProbe", "startup"); h != nil {
			s.run("startup", h.text())
		}
	}
	if h := c.probe(s, main, main.LivenessProbe, "livenessProbe", "liveness"); h != nil {
		s.run("liveness", h.text())
	}
	if main.Lifecycle == nil {
		return
	}
	if stop := main.Lifecycle.PreStop; stop != nil {
		h := c.check(s, main, corev1.ProbeHandler{Exec: stop.Exec, HTTPGet: stop.HTTPGet})
		switch {
		case h != nil && (h.kind == "command" || h.port != 0 || len(s.ports) > 0):
			s.run("pre_stop", h.text())
		case stop.Sleep != nil:
			s.run("pre_stop", `command("sleep", `+str(strconv.FormatInt(stop.Sleep.Seconds, 10))+")")
		default:
			s.note("its preStop hook was left out: set pre_stop = ….")
		}
	}
	if main.Lifecycle.PostStart != nil {
		s.note("its postStart hook was left out. To set it, write the chart with pipe eject %s, change it, and use it with chart=.", label(s.name, maxServiceName))
	}
}

// probe converts one check, or notes that argument must be set.
func (c *cluster) probe(s *service, main corev1.Container, p *corev1.Probe, what, argument string) *health {
	if p == nil {
		return nil
	}
	h := c.check(s, main, p.ProbeHandler)
	if h == nil {
		s.note("its %s was left out: set %s = ….", what, argument)
		return nil
	}
	if h.kind != "command" && h.port == 0 && len(s.ports) == 0 {
		s.note("its %s has an unknown port: set %s = ….", what, argument)
		return nil
	}
	defaults := map[string]int32{"health": 5, "startup": 1, "liveness": 10}
	seconds := func(name string, n, usual int32) {
		if n > 0 && n != usual {
			h.times = append(h.times, pair{name, str(fmt.Sprint(n, "s"))})
		}
	}
	if what == "readinessProbe" && main.ReadinessProbe == nil { // it is the startupProbe, which runs every second
		return h
	}
	seconds("period", p.PeriodSeconds, defaults[argument])
	seconds("timeout", p.TimeoutSeconds, 5)
	if n := p.FailureThreshold; n > 0 && (n != 3 || argument == "startup") {
		h.times = append(h.times, pair{"failures", strconv.Itoa(int(n))})
	}
	if argument != "health" {
		seconds("delay", p.InitialDelaySeconds, 0)
	}
	return h
}

// check converts what a check does. It returns nil if it cannot, or if there seems to be
// a secret in it.
func (c *cluster) check(s *service, main corev1.Container, p corev1.ProbeHandler) *health {
	number := func(at string, n int32) int {
		if n > 0 {
			return int(n)
		}
		for _, p := range main.Ports {
			if p.Name == at {
				return int(p.ContainerPort)
			}
		}
		return 0
	}
	switch {
	case p.HTTPGet != nil:
		h := &health{kind: "http", path: "/" + strings.TrimPrefix(p.HTTPGet.Path, "/"), port: number(p.HTTPGet.Port.StrVal, p.HTTPGet.Port.IntVal)}
		if hasSecret(h.path) {
			return nil
		}
		for _, header := range p.HTTPGet.HTTPHeaders {
			if hasSecret(header.Name + " " + header.Value) {
				s.note("the header %s of a check was left out, because it seems to contain a secret.", quoted(header.Name))
				continue
			}
			if h.headers == nil {
				h.headers = map[string]any{}
			}
			h.headers[header.Name] = header.Value
		}
		if p.HTTPGet.Scheme == corev1.URISchemeHTTPS {
			s.note("one of its checks used HTTPS; here, it uses HTTP.")
		}
		return h
	case p.TCPSocket != nil:
		return &health{kind: "tcp", port: number(p.TCPSocket.Port.StrVal, p.TCPSocket.Port.IntVal)}
	case p.GRPC != nil:
		h := &health{kind: "grpc", port: int(p.GRPC.Port)}
		if p.GRPC.Service != nil {
			h.service = *p.GRPC.Service
		}
		return h
	case p.Exec != nil && len(p.Exec.Command) > 0 && !secretIn(p.Exec.Command):
		return &health{kind: "command", command: p.Exec.Command}
	}
	return nil
}

// spread converts constraints over what pods are distributed.
func (s *service) spread(list []corev1.TopologySpreadConstraint) {
	var out []string
	for _, t := range list {
		over := str(t.TopologyKey)
		switch t.TopologyKey {
		case "topology.kubernetes.io/zone":
			over = str("zone")
		case "kubernetes.io/hostname":
			over = str("host")
		}
		if t.WhenUnsatisfiable == corev1.DoNotSchedule {
			over = "spread(" + over + ", required = True)"
		}
		out = append(out, over)
	}
	if len(out) > 0 {
		s.run("spread", "["+strings.Join(out, ", ")+"]")
	}
}
