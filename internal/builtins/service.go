package builtins

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Service is the value of application(), container(), job(), database(), helm() and manifests(), and what
// the call declares.
type Service struct {
	opaque
	Plan     plan.Service // without stage, image and skip, which depend on the whole file
	Stage    StageRef     // zero: not set
	StagePos plan.Pos
	Image    *Image       // nil: the chart brings its own
	Images   []NamedImage // what it has besides Image
	Stack    []plan.Frame

	claims   *Claims // nil: none
	hostRead bool
}

// Claims are what the checks of the whole file need of a service, and few services have.
type Claims struct {
	Public    []Public   // addresses outside of the cluster that its generated chart requests
	Locals    []Local    // ports of this machine that it requests
	Mounted   []Mounted  // claims that are not its own
	NodePorts []NodePort // ports of the nodes that its generated chart requests
	Peers     []Peer     // services that may connect to it, if only some may
	Objects   []Object   // of a service of type MANIFESTS
	Unbuilt   Unbuilt    // zero: nothing is left out

	NamespacePos plan.Pos // of its namespace=, if it has one
}

// Claims returns the claims of the service.
func (s *Service) Claims() *Claims {
	if s.claims == nil {
		return &Claims{}
	}
	return s.claims
}

// claim returns the claims of the service for additions.
func (s *Service) claim() *Claims {
	if s.claims == nil {
		s.claims = &Claims{}
	}
	return s.claims
}

// A Public is an address of the Ingress of a generated chart.
type Public struct {
	Class string // of the Ingress; empty: the cluster's default
	Host  string // lower case; empty: any
	Path  string // without a slash at its end; empty: all
	TLS   *plan.TLS
	Pos   plan.Pos
}

// A Peer is a service that may connect to another one.
type Peer struct {
	Service string
	Pos     plan.Pos
}

// A NodePort is a port of all nodes that leads to a port of a service.
type NodePort struct {
	Port     int
	Protocol string
	Pos      plan.Pos
}

// A Local is a port of this machine that is forwarded to a port of a service.
type Local struct {
	Port int
	Pos  plan.Pos
}

// A Mounted is a claim of disk() or existing_volume() that a service mounts.
type Mounted struct {
	Claim  string
	Disk   bool // pipe creates it
	Access plan.Access
	Pos    plan.Pos
}

// An Unbuilt is a Dockerfile next to the file of a service that has a chart and no image,
// and so builds nothing.
type Unbuilt struct {
	Dockerfile string
	Pos        plan.Pos // of the chart
}

// HostRead reports whether the file has read its host or URL.
func (s *Service) HostRead() bool { return s.hostRead }

// String returns the call that makes it.
func (s *Service) String() string {
	return strings.ToLower(string(s.Plan.Type)) + "(" + strconv.Quote(s.Plan.Name) + ")"
}

// Type returns "service".
func (s *Service) Type() string { return "service" }

// Instead says which attribute was probably meant.
func (s *Service) Instead(typ string) string {
	if typ != "str" {
		return ""
	}
	return "a service is not a string; its attributes are: such as " + s.Example("host")
}

// Example returns how a file may write that attribute, such as "web_api.host" for the
// service web-api, for hints.
func (s *Service) Example(attr string) string {
	variable := strings.ReplaceAll(s.Plan.Name, "-", "_")
	if plan.CheckName(s.Plan.Name, plan.MaxServiceName) != nil || variable[0] <= '9' {
		variable = "service"
	}
	return variable + "." + attr
}

// Hash makes a service usable as a key.
func (s *Service) Hash() (uint32, error) { return starlark.String(s.Plan.Name).Hash() }

// AttrNames returns the attributes. Only databases have user and password.
func (s *Service) AttrNames() []string {
	if s.brought() {
		return []string{"name", "type"}
	}
	names := []string{"host", "image", "name", "port", "type", "url"}
	if s.Plan.Type == plan.Database {
		names = append(names, "user", "password", "database", "url_for")
	}
	return names
}

// Attr returns an attribute (L6).
func (s *Service) Attr(name string) (starlark.Value, error) {
	if s.brought() && slices.Contains([]string{"host", "image", "port", "url"}, name) {
		return nil, &explain.Error{
			Msg:  fmt.Sprintf("service %s has no %s: pipe does not create its objects", s.Plan.Name, name),
			Hint: "write the name of its Kubernetes Service",
		}
	}
	switch name {
	case "name":
		return starlark.String(s.Plan.Name), nil
	case "host":
		s.hostRead = true
		return starlark.String(s.Plan.Name), nil
	case "type":
		return starlark.String(s.Plan.Type), nil
	case "image":
		if s.Image == nil {
			return nil, &explain.Error{Msg: fmt.Sprintf("service %s has no image: its chart names the images", s.Plan.Name)}
		}
		return s.Image, nil
	case "database":
		if s.Plan.Type == plan.Database {
			return s.databaseName(), nil
		}
	case "url_for":
		if s.Plan.Type == plan.Database {
			return s.urlFor(), nil
		}
	case "user", "password":
		if s.Plan.Type == plan.Database {
			return s.credential(name), nil
		}
	case "url":
		if s.Plan.Type == plan.Database {
			return s.credential(name), nil
		}
		port, err := s.port(name)
		if err != nil {
			return nil, err
		}
		s.hostRead = true
		return starlark.String("http://" + s.Plan.Name + ":" + strconv.Itoa(port)), nil
	case "port":
		port, err := s.port(name)
		return starlark.MakeInt(port), err
	}
	return nil, nil
}

// brought reports whether its objects are written by others: they have names and ports
// that pipe does not choose.
func (s *Service) brought() bool {
	return s.Plan.Type == plan.Helm || s.Plan.Type == plan.Manifests
}

// credential returns a reference to a generated credential of a database (D6).
func (s *Service) credential(key string) *Secret {
	return &Secret{ref: plan.SecretRef{Service: s.Plan.Name, Key: key}}
}

func (s *Service) port(attr string) (int, error) {
	ports := s.Plan.Workload.Ports
	if len(ports) == 0 {
		return 0, &explain.Error{
			Msg:  fmt.Sprintf("service %s has no %s: it has no ports", s.Plan.Name, attr),
			Hint: "declare it with ports = [port(8080)]",
		}
	}
	return ports[0].ServicePort(), nil
}

// serviceItem is a service, or the name of one.
type serviceItem struct{ name string }

func (serviceItem) TypeName() string { return "service | str" }

// Unpack accepts both.
func (i *serviceItem) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Service:
		i.name = v.Plan.Name
		return nil
	case starlark.String:
		i.name = string(v)
		return nil
	}
	return convert.Want("service or str", v)
}

// A Skip is one service that a call of skip() names.
type Skip struct {
	Service string
	Pos     plan.Pos // of the argument
	Call    plan.Pos
	Stack   []plan.Frame
}

type skipArgs struct {
	Services []serviceItem `arg:"*services" help:"services or their names"`
}

var skipFunc = declare("skip", "None", "Leaves services out of actions on the environment, as `skip = True` does.",
	func(c *Call, a *skipArgs) (starlark.Value, error) {
		for i, s := range a.Services {
			if s.name != "" {
				c.Session.keep()
				c.Session.Skips = append(c.Session.Skips, Skip{
					Service: s.name, Pos: c.ArgPos("services", i), Call: c.Pos(), Stack: c.Session.Stack(c.Thread),
				})
			}
		}
		return starlark.None, nil
	})
