package builtins

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

type databaseArgs struct {
	serviceName
	Engine  string   `arg:"engine,kw" help:"postgresql, mysql, mariadb, redis or mongodb; another one needs image="`
	Version string   `arg:"version,kw" help:"of the engine, such as \"15\"; the tag of the image if none is given"`
	Image   imageArg `arg:"image,kw" default:"None" help:"the engine's official image if not given"`
	Storage string   `arg:"storage,kw" default:"\"10Gi\"" only:"generated" sets:"volumes" help:"the size of its volume, a Kubernetes quantity"`
	databaseAccess
	common
	timeout5
}

var databaseFunc = declare("database", "service",
	"Declares a database. Its user and password are generated once per environment; `.url`, `.user` and `.password` refer to them.",
	func(c *Call, a *databaseArgs) (starlark.Value, error) {
		e, known := chartspec.EngineNamed(a.Engine)
		own := a.Image.from != nil || a.Image.ref != "" || a.Chart != nil
		switch {
		case !c.Valid("engine"):
		case known:
			a.Engine = e.Name
		case !engineName.fits(a.Engine):
			c.wrong("engine", explain.Errorf("%q is not a valid engine name", explain.Clip(a.Engine)))
		case !own:
			var names, all []string
			for _, e := range chartspec.Engines() {
				names = append(names, e.Name)
				all = append(append(all, e.Name), e.Aliases...)
			}
			c.wrong("engine", explain.Errorf("unknown engine %q", explain.Clip(a.Engine)).
				Near(a.Engine, all, "known are "+strings.Join(names, ", ")+"; any other needs image="))
		}
		if c.Valid("version") && !plan.IsTag(a.Version) {
			c.wrong("version", explain.Errorf("%q is not a valid version", explain.Clip(a.Version)))
		}
		c.wrong("storage", checkMemory(a.Storage, "10Gi"))
		if known && len(a.Ports) == 0 && c.Valid("ports") {
			a.Ports = []portArg{{tcpPort(e.Port)}}
		}
		s := c.service(plan.Database, a.Name, &a.common, a.Timeout)
		w := &s.Plan.Workload
		c.dataFiles(a.Files, e.Path)
		w.Database = &plan.DatabaseSpec{Engine: a.Engine, Version: a.Version, Storage: a.Storage, DatabaseAccess: c.databaseAccess(&a.databaseAccess, e)}
		c.sharedMemory(w, a)
		if n, err := strconv.Atoi(a.Database); err == nil && e.Numbers > 0 && n >= e.Numbers && len(a.Args)+len(a.Command)+len(a.Files)+len(a.Values) == 0 && a.Chart == nil {
			c.wrong("database", explain.Errorf("a server of %s has the databases 0 to %d", e.Name, e.Numbers-1).
				WithHint("for more give it args = [%s, \"--databases\", \"%d\"]", explain.Literals(e.Args), n+1))
		}
		if known && w.Health == nil && a.Chart == nil && c.Valid("health") {
			h := e.Health
			if h.Port != 0 && len(w.Ports) > 0 {
				h.Port = w.Ports[0].Number
			}
			w.Health = &h
		}
		if n, _ := a.Values["replicas"].(int64); a.Chart == nil && (a.Replicas > 1 || n > 1) {
			p := explain.Errorf("a database without chart= has one pod").WithHint("for more, use a chart that supports replication")
			if n > 1 {
				c.wrong("values", p.In("replicas"))
			} else {
				c.wrong("replicas", p)
			}
		}
		if a.Chart == nil {
			c.credentials(a, e)
		}
		switch {
		case a.Image.from != nil:
			s.Image = a.Image.from
		case a.Image.ref != "":
			s.Image = &Image{Mirror: a.Image.ref}
		case known && a.Chart == nil:
			s.Image = &Image{Mirror: e.Image + ":" + a.Version}
		}
		c.containers(s, &a.podContainers)
		c.patches(s, a.Patch)
		return c.declared(s), nil
	})

// credentials checks that no argument overrides the generated credentials of the image:
// .url, .user and .password would be wrong.
func (c *Call) credentials(a *databaseArgs, e chartspec.Engine) {
	const hint = "leave it out: the credentials are generated, and .url, .user and .password of the database refer to them"
	check := func(param string, given []plan.EnvVar) {
		for _, have := range given {
			name := strings.TrimSuffix(have.Name, "_FILE") // these images also read NAME_FILE
			for _, v := range e.Env {
				if v.InURL && v.Name == name {
					c.wrong(param, explain.Errorf("the %s must be the generated one: .url contains it", v.Credential).In(have.Name).WithHint(hint))
				}
			}
		}
	}
	check("env", a.Env)
	check("secrets", a.Secrets)
	for _, own := range []struct{ key, message, hint string }{
		{"env", "replaces all variables, including those with the credentials", "write env = {…}"},
		{"ports", "replaces the port of the database, which .port and .url have", "write ports = […]"},
		{"volumes", "replaces all volumes, including the one with the data", `write storage = "10Gi" for the data, and volumes = […] for more`},
	} {
		if _, replaced := a.Values[own.key]; replaced && c.Valid("values") {
			c.wrongValue([]string{own.key}, explain.Errorf("%s", own.message).WithHint("%s", own.hint))
		}
	}
	own := slices.Concat(a.Command, a.Args)
	param := "args"
	if len(a.Args) == 0 {
		param = "command"
	}
	for _, key := range []string{"command", "args"} {
		if list, _ := a.Values[key].([]any); len(list) > 0 {
			param = "values"
			for _, v := range list {
				own = append(own, fmt.Sprint(v))
			}
		}
	}
	if len(e.Args) == 0 || len(own) == 0 {
		return
	}
	password := e.Args[slices.IndexFunc(e.Args, func(arg string) bool { return strings.HasPrefix(arg, "$(") })]
	if !slices.ContainsFunc(own, func(arg string) bool { return strings.Contains(arg, strings.Trim(password, "$()")) }) {
		c.wrong(param, explain.Errorf("without %s the server has no password, and .url is wrong", password).
			WithHint("without args= it runs with %s: add --requirepass %s to your arguments", explain.Literals(e.Args), password))
	}
}
