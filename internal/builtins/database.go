package builtins

import (
	"regexp"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/plan"
)

type databaseArgs struct {
	Name    string   `arg:"name" help:"unique in the pipeline, a DNS label of at most 53 characters"`
	Engine  string   `arg:"engine,kw" help:"postgresql, mysql, mariadb, redis or mongodb; another one needs image="`
	Version string   `arg:"version,kw" help:"of the engine, such as \"15\"; the tag of the image if none is given"`
	Image   imageArg `arg:"image,kw" default:"None" help:"the engine's official image if not given"`
	Storage string   `arg:"storage,kw" default:"\"10Gi\"" help:"the size of its volume, a Kubernetes quantity"`
	common
	timeout5
}

// An engine is what is known of a kind of database.
type engine struct {
	name    string
	aliases []string
	image   string
	port    int
	health  plan.Health
}

// A connection is the right check for these images: while they set themselves
// up they listen on a socket or on loopback only. PostgreSQL also accepts
// connections while it recovers, so it is asked.
var engines = []engine{
	{"postgresql", []string{"postgres", "pg", "pgsql"}, "docker.io/library/postgres", 5432,
		plan.Health{Kind: plan.HealthCommand, Command: []string{"pg_isready", "-q", "-h", "127.0.0.1"}}},
	{"mysql", nil, "docker.io/library/mysql", 3306, plan.Health{Kind: plan.HealthTCP, Port: 3306}},
	{"mariadb", []string{"maria"}, "docker.io/library/mariadb", 3306, plan.Health{Kind: plan.HealthTCP, Port: 3306}},
	{"redis", nil, "docker.io/library/redis", 6379, plan.Health{Kind: plan.HealthTCP, Port: 6379}},
	{"mongodb", []string{"mongo"}, "docker.io/library/mongo", 27017, plan.Health{Kind: plan.HealthTCP, Port: 27017}},
}

// engineNamed returns the engine of that name or alias, or nil.
func engineNamed(name string) *engine {
	for _, e := range engines {
		if strings.EqualFold(e.name, name) {
			return &e
		}
		for _, a := range e.aliases {
			if strings.EqualFold(a, name) {
				return &e
			}
		}
	}
	return nil
}

var engineName = regexp.MustCompile(`^[a-z0-9][-a-z0-9]*$`)

var databaseFunc = declare("database", "service",
	"Declares a database. Its user and password are generated once per environment; `.url`, `.user` and `.password` refer to them.",
	func(c *Call, a *databaseArgs) (starlark.Value, error) {
		e := engineNamed(a.Engine)
		own := a.Image.from != nil || a.Image.ref != "" || a.Chart != nil
		switch {
		case !c.ok("engine"):
		case e != nil:
			a.Engine = e.name
		case !engineName.MatchString(a.Engine):
			c.wrong("engine", problemf("%q is no name of an engine", clip(a.Engine)))
		case !own:
			var names, all []string
			for _, e := range engines {
				names = append(names, e.name)
				all = append(append(all, e.name), e.aliases...)
			}
			c.wrong("engine", problemf("unknown engine %q", clip(a.Engine)).
				hinted("%s", didYouMean(a.Engine, all, "known are "+strings.Join(names, ", ")+"; any other needs image=")))
		}
		if c.ok("version") && !refTag.fits(a.Version) {
			c.wrong("version", problemf("%q is no version", clip(a.Version)))
		}
		c.wrong("storage", checkMemory(a.Storage, "10Gi"))
		if e != nil && len(a.Ports) == 0 && c.ok("ports") {
			a.Ports = []portArg{{plan.Port{Number: e.port, Name: portName(e.port), Protocol: "TCP"}}}
		}
		s := c.service(plan.Database, a.Name, &a.common, a.Timeout)
		w := &s.Plan.Workload
		w.Database = &plan.DatabaseSpec{Engine: a.Engine, Version: a.Version, Storage: a.Storage}
		if e != nil && w.Health == nil && a.Chart == nil && c.ok("health") {
			h := e.health
			if h.Port != 0 && len(w.Ports) > 0 {
				h.Port = w.Ports[0].Number
			}
			w.Health = &h
		}
		if a.Chart == nil && a.Replicas > 1 {
			c.wrong("replicas", problemf("a database of its own image has one pod").hinted("for more bring a chart that knows the engine's replication"))
		}
		switch {
		case a.Image.from != nil:
			s.Image = a.Image.from
		case a.Image.ref != "":
			s.Image = &Image{Mirror: a.Image.ref}
		case e != nil && a.Chart == nil:
			s.Image = &Image{Mirror: e.image + ":" + a.Version}
		}
		return c.declared(s), nil
	})
