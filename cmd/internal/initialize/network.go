package initialize

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/plan"
)

// selected returns the workload whose pods a Service selects.
func (c *cluster) selected(s corev1.Service) *workload {
	if len(s.Spec.Selector) == 0 {
		return nil
	}
	for _, w := range c.workloads {
		all := w.service.kind != plan.Job
		for k, v := range s.Spec.Selector {
			all = all && w.labels[k] == v
		}
		if all {
			return w
		}
	}
	return nil
}

// containerPorts returns the ports of the container that a service runs.
func (w *workload) containerPorts() []corev1.ContainerPort {
	if len(w.pod.Containers) == 0 {
		return nil
	}
	return w.pod.Containers[0].Ports
}

// connect converts the Services: the names by which others reach a service, and its
// ports.
func (c *cluster) connect() {
	named := map[*workload]string{}
	for _, s := range c.services {
		w := c.selected(s)
		if w == nil {
			c.project.note("Service %s selects no pods of the manifests and was left out.", quoted(s.Name))
			continue
		}
		if named[w] == "" || s.Name == w.meta.Name {
			named[w] = s.Name
		}
	}
	for _, s := range c.services {
		w := c.selected(s)
		if w == nil {
			continue
		}
		out := w.service
		if s.Name != named[w] {
			if !outside(s) {
				out.note("Service %s was left out: other services use the host %s.", quoted(s.Name), quoted(named[w]))
			}
			c.project.refer(s.Name, named[w])
		}
		for _, p := range s.Spec.Ports {
			c.port(w, s, p)
		}
	}
	for _, host := range c.hosts {
		c.project.refer(host.name, host.value)
	}
	for _, w := range c.workloads {
		w.service.kinds()
	}
	for _, w := range c.workloads {
		if name := named[w]; name != "" && name != w.service.name && c.project.service(name) == nil {
			w.service.about = strings.TrimSpace(w.service.about + " It has the name of its Service; the " + w.kind + " was " + quoted(w.service.name) + ".")
			w.service.name = name
		}
	}
}

// outside reports whether a Service can be reached from outside the cluster.
func outside(s corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer || s.Spec.Type == corev1.ServiceTypeNodePort
}

// kinds sets the kind of each port if one can be reached from outside the cluster.
func (s *service) kinds() {
	if !slices.ContainsFunc(s.ports, func(p port) bool { return plan.ServiceKind(p.kind).Outside() }) {
		return
	}
	for i := range s.ports {
		if s.ports[i].kind == "" {
			s.ports[i].kind = string(plan.ClusterIP)
		}
	}
}

// plainPath is a path of an Ingress that is not a pattern of its controller.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._~%-]+)*$`)

// port adds a port that only a Service has, and makes other services use the container's
// port.
func (c *cluster) port(w *workload, s corev1.Service, p corev1.ServicePort) {
	out := w.service
	target := int(p.TargetPort.IntVal)
	if name := p.TargetPort.StrVal; name != "" {
		for _, have := range w.containerPorts() {
			if have.Name == name {
				target = int(have.ContainerPort)
			}
		}
	} else if target == 0 {
		target = int(p.Port)
	}
	if target < 1 || target > 65535 {
		return
	}
	protocol := string(p.Protocol)
	if protocol == "" {
		protocol = "TCP"
	}
	if !slices.ContainsFunc(out.ports, func(o port) bool { return o.number == target && o.protocol == protocol }) {
		name := ""
		if protocol != "TCP" {
			name = fmt.Sprintf("%s-%d", strings.ToLower(protocol), target)
		}
		out.ports = append(out.ports, port{number: target, protocol: protocol, name: name})
	}
	i := slices.IndexFunc(out.ports, func(o port) bool { return o.number == target && o.protocol == protocol })
	at := &out.ports[i]
	switch {
	case outside(s):
		at.kind, at.node = string(s.Spec.Type), int(p.NodePort)
	case s.Spec.ClusterIP == corev1.ClusterIPNone && at.kind == "":
		at.kind = string(plan.Headless)
	}
	if int(p.Port) == target || s.Spec.ClusterIP == corev1.ClusterIPNone || at.service == int(p.Port) {
		return
	}
	if at.service == 0 && !slices.ContainsFunc(out.ports, func(o port) bool {
		return o.protocol == protocol && (o.service == int(p.Port) || o.service == 0 && o.number == int(p.Port))
	}) {
		at.service = int(p.Port)
		return
	}
	out.note("its Service mapped port %d to port %d of the container; here, other services use port %d. Addresses with the port were changed, addresses without a port were not.", p.Port, target, target)
	address := regexp.MustCompile(`(^|[/@,])` + regexp.QuoteMeta(s.Name) + `:` + fmt.Sprint(p.Port) + `(/|,|$)`)
	for _, other := range c.workloads {
		for i := range other.service.env {
			if v := &other.service.env[i]; v.secret == "" {
				v.text = address.ReplaceAllString(v.text, "${1}"+s.Name+":"+fmt.Sprint(target)+"${2}")
			}
		}
	}
}

// expose converts the Ingresses.
func (c *cluster) expose() {
	for _, in := range c.ingresses {
		var used []*service
		back := func(host, path string, b *networkingv1.IngressServiceBackend) {
			i := -1
			if b != nil {
				i = slices.IndexFunc(c.services, func(s corev1.Service) bool { return s.Name == b.Name })
			}
			if i < 0 || c.selected(c.services[i]) == nil {
				c.project.note("Ingress %s names a Service that is not in the manifests.", quoted(in.Name))
				return
			}
			w := c.selected(c.services[i])
			number := int(b.Port.Number)
			for _, p := range c.services[i].Spec.Ports {
				if p.Name == b.Port.Name && p.Name != "" || p.Port == b.Port.Number {
					number = int(p.TargetPort.IntVal)
					if number == 0 {
						number = int(p.Port)
					}
					for _, have := range w.containerPorts() {
						if have.Name == p.TargetPort.StrVal && have.Name != "" {
							number = int(have.ContainerPort)
						}
					}
				}
			}
			s := w.service
			j := slices.IndexFunc(s.ports, func(p port) bool { return p.number == number })
			if j < 0 {
				s.note("Ingress %s names a port that it does not have.", quoted(in.Name))
				return
			}
			if host != "" && !builtins.IsHost(host) {
				s.note("Ingress %s has the host %s, which is not a valid name: set host = ….", quoted(in.Name), quoted(host))
				host = ""
			}
			path = strings.TrimRight(path, "/")
			if !plainPath.MatchString(path) {
				s.note("Ingress %s has the path %s, which is a pattern: set path = ….", quoted(in.Name), quoted(path))
				path = ""
			}
			switch at := &s.ports[j]; {
			case at.protocol != "" && at.protocol != "TCP":
				s.note("Ingress %s names a port that is not a TCP port.", quoted(in.Name))
			case at.public && at.host != host:
				s.note("Ingress %s also has the host %s; a port has one host.", quoted(in.Name), quoted(host))
			case at.public && at.path != path:
				s.note("Ingress %s also has the path %s; a port has one path.", quoted(in.Name), quoted(path))
			default:
				at.public, at.host, at.path = true, host, path
			}
			if !slices.Contains(used, s) {
				used = append(used, s)
			}
		}
		if b := in.Spec.DefaultBackend; b != nil {
			back("", "", b.Service)
		}
		for _, r := range in.Spec.Rules {
			if r.HTTP != nil {
				for _, p := range r.HTTP.Paths {
					back(r.Host, p.Path, p.Backend.Service)
				}
			}
		}
		for _, s := range used {
			values := map[string]any{}
			if in.Spec.IngressClassName != nil {
				values["className"] = *in.Spec.IngressClassName
			}
			if len(in.Annotations) > 0 {
				values["annotations"] = generic(in.Annotations)
			}
			if len(in.Spec.TLS) > 0 {
				values["tls"] = generic(in.Spec.TLS)
			}
			if len(values) > 0 && !hasSecret(fmt.Sprint(values)) {
				s.value("ingress", values)
			}
		}
	}
	hosts := map[string]string{}
	for _, w := range c.workloads {
		for i := range w.service.ports {
			p := &w.service.ports[i]
			if !p.public {
				continue
			}
			if first, ok := hosts[p.host+p.path]; ok {
				p.public = false
				w.service.note("%s is public at the same address: set public = True for port %d, with another host or path.", first, p.number)
				p.host, p.path = "", ""
				continue
			}
			hosts[p.host+p.path] = w.service.name
		}
	}
}
