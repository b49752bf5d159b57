package builtins

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// exposureArgs are the parameters of port() about its Kubernetes Service and its Ingress.
type exposureArgs struct {
	Service     *int              `arg:"service,kw" default:"None" help:"the port at which other services reach it, which .port and .url have; number if not given"`
	Path        pathArg           `arg:"path,kw" default:"None" help:"the part of the host that the Ingress sends to it, such as \"/api\"; all of it if not given"`
	TLS         tlsArg            `arg:"tls,kw" default:"False" help:"whether the Ingress has a certificate: True, if something such as cert-manager creates the Secret HOST-tls; or the secret(), with the keys tls.crt and tls.key"`
	Kind        string            `arg:"kind,kw" default:"None" choices:"ClusterIP|LoadBalancer|NodePort|headless" help:"of the Kubernetes Service: its type, or headless; ClusterIP if not given"`
	NodePort    *int              `arg:"node_port,kw" default:"None" help:"the port of the nodes, of kind NodePort or LoadBalancer; chosen by Kubernetes if not given"`
	Annotations map[string]string `arg:"annotations,kw" default:"{}" help:"of the Ingress if the port is public, otherwise of the Kubernetes Service"`
}

// exposure checks the parameters of port() about its Kubernetes Service and its Ingress.
func (c *Call) exposure(a *portArgs) plan.Exposure {
	e := plan.Exposure{Path: strings.TrimRight(string(a.Path), "/"), TLS: a.TLS.plan}
	if a.Service != nil {
		c.wrong("service", checkPort(*a.Service))
		if a.Kind == string(plan.Headless) && *a.Service != a.Number {
			c.wrong("service", explain.Errorf("the name of a headless Service resolves to the pods, which listen on %d", a.Number).
				WithHint(`leave out service =, or kind = "headless"`))
		}
		if *a.Service != a.Number {
			e.Service = *a.Service
		}
	}
	if a.Kind != "" {
		c.wrong("kind", c.choice("kind", a.Kind))
		e.Kind = plan.ServiceKind(a.Kind)
	}
	if a.NodePort != nil {
		c.wrong("node_port", checkPort(*a.NodePort))
		if !e.Kind.Outside() && c.Valid("kind") {
			c.wrong("node_port", explain.Errorf("a Kubernetes Service of kind %s does not open a port of the nodes", cmp.Or(e.Kind, plan.ClusterIP)).WithHint(`add kind = "NodePort"`))
		}
		e.NodePort = *a.NodePort
	}
	if a.Path != "" && !a.Public {
		c.wrong("path", explain.Errorf("is given, but the port is not public").WithHint("add public = True"))
	}
	c.wrong("path", checkIngressPath(string(a.Path)))
	if e.TLS != nil {
		switch {
		case !a.Public:
			c.wrong("tls", explain.Errorf("is given, but the port is not public").WithHint("add public = True"))
		case e.TLS.Secret == nil && a.Host == "":
			c.wrong("tls", explain.Errorf("a certificate requires a host").WithHint("add host = …"))
		case e.TLS.Secret == nil:
			e.TLS.Name = plan.NameFrom(strings.TrimPrefix(a.Host, "*."), 59) + "-tls"
		}
	}
	if len(a.Annotations) > 0 {
		c.wrong("annotations", checkAnnotations(a.Annotations))
		e.Annotations = a.Annotations
	}
	return e
}

// checkIngressPath checks the rules of Kubernetes for the path of an Ingress.
func checkIngressPath(p string) *explain.Error {
	if p == "" {
		return nil
	}
	if clean := path.Clean(p); clean != strings.TrimSuffix(p, "/") && clean != p {
		return explain.Errorf("%q is not a valid path of an Ingress", explain.Clip(p)).WithHint("write %q", explain.Clip(clean))
	}
	if strings.Contains(strings.ToLower(p), "%2f") {
		return explain.Errorf("%q has an encoded slash, which an Ingress cannot have", explain.Clip(p))
	}
	return nil
}

// tlsArg is a bool, or a secret with a certificate.
type tlsArg struct{ plan *plan.TLS }

func (tlsArg) TypeName() string { return "bool | secret" }

// Unpack accepts both.
func (a *tlsArg) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.Bool:
		if v {
			a.plan = &plan.TLS{}
		}
		return nil
	case *Secret:
		if v.ref.Service != "" || v.ref.Key != "" {
			return explain.Errorf("a certificate is the whole secret, with the keys tls.crt and tls.key").WithHint(`write tls = secret("name")`)
		}
		ref := v.ref
		a.plan = &plan.TLS{Secret: &ref}
		return nil
	}
	return convert.Want("bool or secret", v)
}

// maxAnnotations is the limit of Kubernetes for the annotations of an object, in bytes.
const maxAnnotations = 256 << 10

// checkAnnotations checks that Kubernetes accepts the annotations.
func checkAnnotations(annotations map[string]string) *explain.Error {
	size := 0
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if !validKey(k) {
			return explain.Errorf("%q is not a valid name of an annotation", explain.Clip(k)).WithHint(`write, for example, "example.com/team"`)
		}
		size += len(k) + len(annotations[k])
	}
	if size > maxAnnotations {
		return explain.Errorf("they have %d bytes in total, and an object can hold %d", size, maxAnnotations)
	}
	return nil
}

// validKey reports whether Kubernetes accepts the name of a label or of an annotation.
func validKey(k string) bool {
	prefix, name, prefixed := strings.Cut(k, "/")
	if !prefixed {
		return labelWord.fits(k)
	}
	return labelPrefix.fits(prefix) && labelWord.fits(name)
}

// exposed checks that the ports of a service agree about their Kubernetes Services and
// their Ingress.
func (c *Call) exposed(t plan.ServiceType, ports []plan.Port, chart bool) {
	if !c.Valid("ports") {
		return
	}
	outside, unsaid := -1, -1
	for i, p := range ports {
		if chart || t == plan.Job {
			c.unexposed(i, p.Exposure, chart)
			continue
		}
		switch {
		case p.Kind == "" && unsaid < 0:
			unsaid = i
		case p.Kind.Outside() && outside < 0:
			outside = i
		}
	}
	if outside >= 0 && unsaid >= 0 {
		c.twoPorts(outside, unsaid, explain.Errorf("port %d has the kind %s, so port %d also needs a kind", ports[outside].Number, ports[outside].Kind, ports[unsaid].Number).
			WithHint("write kind = %q to open it to the outside as well, or kind = \"ClusterIP\" to keep it inside, which gives port %d a Kubernetes Service of its own", ports[outside].Kind, ports[outside].Number))
	}
	c.annotated(ports)
}

// unexposed reports what a port says about a Kubernetes Service or an Ingress that pipe
// does not create: a job has none, and those of a chart are the chart's.
func (c *Call) unexposed(i int, e plan.Exposure, chart bool) {
	for _, of := range []struct {
		param string
		given bool
	}{
		{"kind", e.Kind != ""}, {"node_port", e.NodePort != 0}, {"path", e.Path != ""}, {"tls", e.TLS != nil}, {"annotations", e.Annotations != nil},
		{"service", e.Service != 0 && !chart},
	} {
		if !of.given {
			continue
		}
		if !chart {
			c.wrong("ports", explain.Errorf("%s = is given, but a job has no Kubernetes Service: nothing connects to it", of.param).In(i))
			return
		}
		c.rejectAt("ports", explain.Errorf("%s = is given, but chart= is also given, and the chart would not get it", of.param).
			In(i).WithHint("write it in values =, with the key that the chart has for it"), c.givenHere("chart"))
		return
	}
}

// annotated checks that ports do not give one object two values of an annotation.
func (c *Call) annotated(ports []plan.Port) {
	type key struct {
		ingress bool
		kind    plan.ServiceKind
		name    string
	}
	var first map[key]int
	for i, p := range ports {
		if len(p.Annotations) == 0 {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(p.Annotations)) {
			k := key{ingress: p.Public, name: name}
			if !p.Public {
				k.kind = cmp.Or(p.Kind, plan.ClusterIP)
			}
			if first == nil {
				first = map[key]int{}
			}
			other, taken := first[k]
			if taken && ports[other].Annotations[name] != p.Annotations[name] {
				object := "Ingress"
				if !p.Public {
					object = "Kubernetes Service"
				}
				c.twoPorts(other, i, explain.Errorf("ports %d and %d have one %s, with two values of the annotation %q", ports[other].Number, p.Number, object, explain.Clip(name)))
				return
			}
			if !taken {
				first[k] = i
			}
		}
	}
}

// twoPorts reports p about two ports of the call.
func (c *Call) twoPorts(first, second int, p *explain.Error) {
	c.rejectAt("ports", p.In(second), plan.Related{Pos: c.ArgPos("ports", first), Message: "the other port is here"})
}

// public returns the addresses for which a generated chart requests an Ingress. An
// Ingress with canary annotations is meant to share the address of another.
func (c *Call) public(ports []plan.Port, values map[string]any) []Public {
	ingress, _ := values["ingress"].(map[string]any)
	class, _ := ingress["className"].(string)
	annotations, _ := ingress["annotations"].(map[string]any)
	for name := range annotations {
		if strings.Contains(name, "canary") {
			return nil
		}
	}
	var out []Public
	if l, ok := values["ports"].([]any); ok {
		for i, v := range l {
			p, _ := v.(map[string]any)
			host, _ := p["host"].(string)
			if p["public"] == true {
				path, _ := p["path"].(string)
				out = append(out, Public{class, strings.ToLower(host), strings.TrimRight(path, "/"), nil, c.ArgPos("values", []any{"ports", i})})
			}
		}
		return out
	}
	for i, p := range ports {
		if p.Public {
			out = append(out, Public{class, strings.ToLower(p.Host), p.Path, p.TLS, c.ArgPos("ports", i)})
		}
	}
	return out
}

// nodePorts returns the ports of the nodes that a generated chart requests.
func (c *Call) nodePorts(ports []plan.Port) (out []NodePort) {
	for i, p := range ports {
		if p.NodePort != 0 {
			out = append(out, NodePort{p.NodePort, p.Protocol, c.ArgPos("ports", i)})
		}
	}
	return out
}
