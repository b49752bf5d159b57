package mirrors

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/internal/redact"
)

// example is what a file looks like, for hints.
const example = `write such as [[registry]], prefix = "docker.io", and below it [[registry.mirror]], location = "mirror.example.com/dockerhub"`

// A parser reads a file. It uses the syntax tree, because that has the positions.
type parser struct {
	unstable.Parser
	file   string
	config Config

	registry *entry // the current one
	mirror   *entry // of registry, if its table is the current one
	at       map[string]position
}

// An entry is a table of the file.
type entry struct {
	position
	values  map[string]value
	mirrors []*entry
}

// A value is a string, and where it is.
type value struct {
	position
	text string
}

type position struct{ line, col int }

func parse(file string, data []byte) (Config, error) {
	var syntax *toml.DecodeError
	if err := toml.Unmarshal(data, &map[string]any{}); errors.As(err, &syntax) {
		line, col := syntax.Position()
		return Config{}, &Error{file, line, col, syntax.Error(), example}
	} else if err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, err)
	}
	p := &parser{file: file, at: map[string]position{}}
	p.Reset(data)
	for p.NextExpression() {
		if err := p.expression(p.Expression()); err != nil {
			return Config{}, err
		}
	}
	if err := p.Error(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, err)
	}
	return p.config, p.finish()
}

func (p *parser) expression(e *unstable.Node) error {
	if e.Kind == unstable.Comment {
		return nil
	}
	keys := e.Key()
	var names []string
	var at position
	for keys.Next() {
		if names == nil {
			at = p.position(keys.Node())
		}
		names = append(names, string(keys.Node().Data))
	}
	name := strings.Join(names, ".")
	switch {
	case e.Kind == unstable.ArrayTable && name == "registry":
		if err := p.finish(); err != nil {
			return err
		}
		p.registry, p.mirror = &entry{position: at, values: map[string]value{}}, nil
	case e.Kind == unstable.ArrayTable && name == "registry.mirror":
		if p.registry == nil {
			return p.wrong(at, example, "[[registry.mirror]] must follow the [[registry]] that it is a mirror of")
		}
		p.mirror = &entry{position: at, values: map[string]value{}}
		p.registry.mirrors = append(p.registry.mirrors, p.mirror)
	case e.Kind == unstable.Table && (name == "registry" || name == "registry.mirror"):
		return p.wrong(at, fmt.Sprintf("write [[%s]]", name), "[%s] is written with two brackets", name)
	case e.Kind != unstable.KeyValue:
		return p.wrong(at, example, "unknown table %s", name)
	default:
		return p.set(name, at, e.Value())
	}
	return nil
}

// set sets a value of the current table.
func (p *parser) set(name string, at position, v *unstable.Node) error {
	of, known := p.registry, []string{"prefix", "location"}
	if p.mirror != nil {
		of, known = p.mirror, []string{"location"}
	}
	if of == nil {
		return p.wrong(at, example, "unknown key %s: pipe reads [[registry]] and [[registry.mirror]]", name)
	}
	for _, k := range known {
		if name != k {
			continue
		}
		if v.Kind != unstable.String {
			return p.wrong(at, `write such as "mirror.example.com"`, "%s must be a string", name)
		}
		of.values[name] = value{p.position(v), string(v.Data)}
		return nil
	}
	hint := "remove it; the keys that pipe reads here are " + strings.Join(known, " and ")
	switch near := misspell.Nearest(name, known); {
	case name == "insecure":
		hint = "remove it; registries on loopback are read without TLS, and all others with it"
	case near != "":
		hint = "did you mean " + near + "?"
	}
	return p.wrong(at, hint, "unknown key %s", name)
}

// finish adds the current registry.
func (p *parser) finish() error {
	e := p.registry
	if p.registry = nil; e == nil {
		return nil
	}
	prefix, named := e.values["prefix"]
	location, placed := e.values["location"]
	if !named {
		prefix = location
	}
	if !named && !placed {
		return p.wrong(e.position, example, "this [[registry]] has no prefix")
	}
	r := Registry{}
	of, err := p.place(prefix)
	if err != nil {
		return err
	}
	if of.Path != "" {
		return p.wrong(prefix.position, fmt.Sprintf("write prefix = %q; a part of a registry cannot be read from elsewhere", of.Host), "prefix %q is not the name of a whole registry", prefix.text)
	}
	r.Host = of.Host
	if before, ok := p.at[r.Host]; ok {
		return p.wrong(prefix.position, "put all its mirrors into one [[registry]]", "registry %s is already at line %d", r.Host, before.line)
	}
	p.at[r.Host] = prefix.position
	if r.Location = of; placed {
		if r.Location, err = p.place(location); err != nil {
			return err
		}
	}
	for _, m := range e.mirrors {
		location, ok := m.values["location"]
		if !ok {
			return p.wrong(m.position, `write such as location = "mirror.example.com/dockerhub"`, "this [[registry.mirror]] of %s has no location", r.Host)
		}
		place, err := p.place(location)
		if err != nil {
			return err
		}
		if place == of {
			return p.wrong(location.position, "name another one; the registry itself is asked after its mirrors anyway", "registry %s is a mirror of itself", r.Host)
		}
		r.Mirrors = append(r.Mirrors, place)
	}
	p.config.Registries = append(p.config.Registries, r)
	return nil
}

var (
	validHost = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)
	validPath = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
)

// place parses a host with an optional path.
func (p *parser) place(v value) (Place, error) {
	if held := redact.Credentials(v.text); held != "" {
		return Place{}, p.wrong(v.position, "remove it, and log in: docker login HOST", "it has %s in it", held)
	}
	if scheme, rest, ok := strings.Cut(v.text, "://"); ok {
		return Place{}, p.wrong(v.position, fmt.Sprintf("write %q", rest), "%q begins with %s://", v.text, scheme)
	}
	host, path, slash := strings.Cut(strings.TrimSuffix(v.text, "/"), "/")
	host = strings.ToLower(host)
	switch {
	case strings.Contains(host, "*"):
		return Place{}, p.wrong(v.position, "write a [[registry]] for each host", "%q is a pattern", v.text)
	case !validHost.MatchString(host) || !strings.ContainsAny(host, ".:") && host != "localhost":
		return Place{}, p.wrong(v.position, `write such as "mirror.example.com:5000/dockerhub"`, "%q does not begin with the name of a host", v.text)
	case slash && !validPath.MatchString(path):
		return Place{}, p.wrong(v.position, "write it in lower-case letters, without a tag", "%q is not a valid path of a registry", v.text)
	}
	return Place{canonical(host), path}, nil
}

func (p *parser) position(n *unstable.Node) position {
	start := p.Shape(n.Raw).Start
	return position{start.Line, start.Column}
}

func (p *parser) wrong(at position, hint, format string, args ...any) error {
	return &Error{p.file, at.line, at.col, fmt.Sprintf(format, args...), hint}
}
