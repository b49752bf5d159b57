package initialize

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// versions are the default versions for sources without one.
var versions = map[string]string{"postgresql": "17", "mysql": "8.4", "mariadb": "11.4", "redis": "7", "mongodb": "8.0"}

// noPassword are variables of these images that make a password optional.
var noPassword = []string{
	"POSTGRES_HOST_AUTH_METHOD", "MYSQL_ALLOW_EMPTY_PASSWORD", "MYSQL_RANDOM_ROOT_PASSWORD", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", "MARIADB_RANDOM_ROOT_PASSWORD",
}

var digits = regexp.MustCompile(`[0-9]+(\.[0-9]+)*`)

// engineOf returns the engine that an image runs, or "".
func engineOf(image string) string {
	engine, _ := chartspec.EngineOf(image)
	return engine.Name
}

// setImage sets an image, and records a reason if its version is not fixed.
func (s *service) setImage(image, from string) {
	if !builtins.IsImage(image) {
		s.note("%s is not a valid image reference: set image=.", quoted(image))
		image = s.unknown()
	}
	s.image = image
	_, tag, digest := plan.CutImage(image)
	if digest == "" && (tag == "" || tag == "latest") {
		s.latest = from + " names no version: set one"
	}
}

// databases converts containers whose image is a database to databases, and makes
// variables of other services refer to them.
func (p *project) databases() {
	for _, s := range p.services {
		engine := engineOf(s.image)
		if engine == "" || s.kind != plan.Container {
			continue
		}
		p.database(s, engine)
	}
}

func (p *project) database(s *service, name string) {
	engine, _ := chartspec.EngineNamed(name)
	own := map[string]string{} // credentials in the source
	var rest []variable
	for _, v := range s.env {
		if slices.Contains(noPassword, v.name) {
			continue // the password is generated
		}
		i := slices.IndexFunc(engine.Env, func(e chartspec.Variable) bool {
			return e.Name == v.name || e.Name+"_FILE" == v.name || strings.Replace(e.Name, "MARIADB_", "MYSQL_", 1) == v.name
		})
		if i < 0 {
			rest = append(rest, v)
			continue
		}
		if c := engine.Env[i].Credential; c != "" && own[c] == "" {
			own[c] = v.text
		}
	}
	users := p.users(s, engine, own)
	open := own["password"] == "" && (name == "redis" || name == "mongodb")
	var blind []string
	for _, u := range users {
		if !u.knows {
			blind = append(blind, u.service.name)
		}
	}
	if open && len(blind) > 0 {
		s.about = "A container and not a database, because these services use no password: " + all(blind) + "."
		s.note("its data is lost with the pod, unless you set volumes=. A database(engine = %q, …) has a volume and a generated password: pass its .url to the services that use it.", name)
		if len(s.volumes) > 0 {
			s.notes = s.notes[:len(s.notes)-1]
		}
		if len(s.ports) == 0 {
			s.ports = []port{{number: engine.Port}}
		}
		return
	}
	for _, u := range users {
		for i, v := range u.changed {
			u.service.env[i] = v
			s.referenced = true
		}
		if !u.knows {
			u.service.note("it needs %s, but no variable with the credentials was found. They are generated: pass .url, or .host, .user and .password, of the database in env=.", u.database)
		}
		if u.differs != "" {
			u.service.note("%s", u.differs)
		}
	}
	if v := own["database"]; builtins.IsDatabaseName(engine, v) {
		s.database = v
	}
	if v := own["user"]; builtins.IsDatabaseUser(engine, v) {
		s.user = v
	}
	s.kind, s.engine, s.env, s.latest = plan.Database, name, rest, ""
	image, tag, digest := plan.CutImage(s.image)
	s.version = digits.FindString(tag)
	official := image == "docker.io/library/"+lastPart(image) || !strings.Contains(image, "/")
	switch {
	case s.version == "":
		s.version = versions[name]
		s.image = ""
		s.note("the source names no version of %s, so %s is a guess. A database does not start with the files of another version.", quoted(image), s.version)
	case official && tag == s.version && digest == "":
		s.image = ""
	}
	s.health = nil // of the database engine
	s.ports = nil
	if len(s.volumes) > 0 {
		s.storage = ""
		var more []volume
		for _, v := range s.volumes {
			if strings.HasPrefix(engine.Path+"/", strings.TrimSuffix(v.path, "/")+"/") || strings.HasPrefix(v.path, engine.Path) {
				if v.size != volumeSize {
					s.storage = v.size
				}
				continue
			}
			more = append(more, v)
		}
		s.volumes = more
	}
	if args := s.arguments; len(engine.Args) > 0 && len(s.command) == 0 && len(args) > 1 && args[0] == engine.Args[0] && !slices.Contains(args, engine.Args[1]) {
		s.arguments = slices.Concat(engine.Args[:3], args[1:])
	} else if len(engine.Args) > 0 && (len(s.command) > 0 || len(args) > 0) {
		s.command, s.arguments = nil, nil
		s.note("its command was left out, because %s gets its password in args=. Add other arguments after it: args = [%s, …].", name, strings.Trim(strs(engine.Args[:3]), "[]"))
	}
	if s.replicas > 1 || s.noReplicas {
		s.note("replicas were left out: a database() has one pod. For replication, use a chart of the engine.")
		s.replicas, s.noReplicas = 0, false
	}
}

func lastPart(image string) string { return image[strings.LastIndex(image, "/")+1:] }

// A user is a service that uses a database.
type user struct {
	service  *service
	database string
	changed  map[int]variable // its changed variables, by index
	knows    bool             // one of its variables has the credentials
	differs  string
}

// users returns the services that use a database: they need it, or a variable contains
// its host.
func (p *project) users(db *service, engine chartspec.Engine, own map[string]string) []user {
	var out []user
	for _, s := range p.services {
		if s == db {
			continue
		}
		u := user{service: s, database: db.name, changed: map[int]variable{}}
		needs := slices.ContainsFunc(s.needs, func(n need) bool { return n.name == db.name })
		uses := needs
		for _, v := range s.env {
			uses = uses || isHost(v.text, db.name)
		}
		if !uses {
			continue
		}
		prefixes := map[string]bool{}
		for _, v := range s.env {
			if m := hostOf.FindStringSubmatch(strings.ToUpper(v.name)); m != nil && (v.text == db.name || strings.HasPrefix(v.text, db.name+":")) {
				prefixes[m[1]] = true
			}
		}
		for i, v := range s.env {
			if v.key != "" || v.of != "" {
				continue
			}
			attr, differs := refersTo(v, db.name, engine, own)
			if m := partOf.FindStringSubmatch(strings.ToUpper(v.name)); attr == "" && differs == "" && m != nil && prefixes[m[1]] {
				attr = parts[m[2]]
			}
			switch {
			case differs != "":
				u.differs, u.knows = differs, true
			case attr != "":
				u.changed[i] = variable{name: v.name, of: db.name, attr: attr}
				u.knows = u.knows || strings.HasPrefix(attr, "url") || attr == "password"
			}
		}
		out = append(out, u)
	}
	return out
}

// If DB_HOST contains a host, DB_USER and the like belong to the same database.
var (
	hostOf = regexp.MustCompile(`^(.*?)(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS)$`)
	partOf = regexp.MustCompile(`^(.*?)(USER|USERNAME|PASS|PASSWORD|PASSWD|PWD|NAME|DATABASE|DB|DBNAME)$`)
	parts  = map[string]string{
		"USER": "user", "USERNAME": "user", "PASS": "password", "PASSWORD": "password", "PASSWD": "password", "PWD": "password",
		"NAME": "database", "DATABASE": "database", "DB": "database", "DBNAME": "database",
	}
)

// isHost reports whether a value is a host, or an address that contains it.
func isHost(text, host string) bool {
	if text == host || strings.HasPrefix(text, host+":") {
		return true
	}
	u, err := address(text)
	return err == nil && u.Hostname() == host
}

// address parses an address, in which variables without a value are placeholders: a user
// and a password have no braces.
func address(text string) (*url.URL, error) { return url.Parse(unset.ReplaceAllString(text, "${1}")) }

// refersTo returns the attribute of the database whose value a variable has, or a note
// about how the value differs.
func refersTo(v variable, host string, engine chartspec.Engine, own map[string]string) (attr, differs string) {
	name := strings.ToUpper(v.name)
	u, err := address(v.text)
	if err == nil && u.Scheme != "" && len(u.Scheme) <= 40 && u.Hostname() == host {
		same := u.Scheme == engine.Scheme || slices.Contains(engine.Aliases, u.Scheme) || engine.Name == u.Scheme
		if !same {
			return "url_for(" + str(u.Scheme) + ")", ""
		}
		return "url", ""
	}
	switch value := v.text; {
	case value == "":
		if v.secret == "" {
			return "", ""
		}
	case value == own["password"] && strings.Contains(name, "PASS"):
		return "password", ""
	case value == own["user"] && (strings.Contains(name, "USER") || strings.Contains(name, "ROLE")):
		return "user", ""
	case value == own["database"] && (strings.Contains(name, "DB") || strings.Contains(name, "DATABASE") || strings.Contains(name, "NAME")):
		return "database", ""
	case value == "root" && strings.Contains(name, "USER") && engine.Scheme == "mysql", value == "postgres" && strings.Contains(name, "USER") && engine.Name == "postgresql":
		return "user", ""
	}
	return "", ""
}

const volumeSize = "10Gi" // if the source has no size

// defaultStages are the default stages of the language, in order.
var defaultStages = [...]string{"DEFAULT DATABASE", "DEFAULT JOB", "DEFAULT CONTAINER", "DEFAULT APPLICATION"}

var ranks = map[plan.ServiceType]int{plan.Database: 0, plan.Job: 1, plan.Container: 2, plan.Application: 3, plan.Helm: 3, plan.Manifests: 3}

// order moves services that need others to a later stage if their own stage is too early.
func (p *project) order() {
	rank := map[*service]int{}
	for _, s := range p.services {
		rank[s] = ranks[s.kind]
	}
	for range len(defaultStages) {
		for _, s := range p.services {
			for _, n := range s.needs {
				if other := p.service(n.name); other != nil && s != other {
					least := rank[other]
					if n.done {
						least++
					}
					rank[s] = max(rank[s], min(least, len(defaultStages)-1))
				}
			}
		}
	}
	for _, s := range p.services {
		if rank[s] != ranks[s.kind] {
			s.stage = defaultStages[rank[s]]
		}
		for _, n := range s.needs {
			if other := p.service(n.name); other != nil && n.done && rank[other] >= rank[s] {
				s.note("it needs %s to complete first, but both are in the last stage, whose services start concurrently. Declare another stage for it: stage(…).", other.name)
			} else if other != nil && !n.done && s.kind == plan.Job && rank[other] == rank[s] {
				s.note("it needs %s, but the services of a stage start concurrently. Set retries=, or declare another stage for it.", other.name)
			}
		}
	}
}
