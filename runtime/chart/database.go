package chart

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// An engine is what has to be known of a database to run its official image,
// or one that takes the same variables.
type engine struct {
	scheme  string // of its URL
	query   string // of its URL
	user    string // the name that the user has to have; default appName
	port    int
	path    string            // where its data is
	subPath string            // folder of the volume that is mounted there, for engines that want it to be empty
	env     map[string]string // variables: "user", "password" and "database" of the credentials, or "=" and a text
	args    []string
}

// appName is the name of the user and of the database in it.
const appName = "app"

var engines = map[string]engine{
	"postgresql": {
		scheme: "postgresql", query: "sslmode=disable", // the image has no certificate, and some drivers insist on one
		port: 5432, path: "/var/lib/postgresql/data",
		env: map[string]string{
			"POSTGRES_USER": "user", "POSTGRES_PASSWORD": "password", "POSTGRES_DB": "database",
			// The volume's own folder may hold a lost+found and may not be 0700.
			"PGDATA": "=/var/lib/postgresql/data/pgdata",
		},
	},
	"mysql": {
		scheme: "mysql", port: 3306, path: "/var/lib/mysql", subPath: "mysql",
		env: map[string]string{
			"MYSQL_USER": "user", "MYSQL_PASSWORD": "password", "MYSQL_DATABASE": "database", "MYSQL_ROOT_PASSWORD": "password",
		},
	},
	"mariadb": {
		scheme: "mysql", port: 3306, path: "/var/lib/mysql", subPath: "mysql",
		env: map[string]string{
			"MARIADB_USER": "user", "MARIADB_PASSWORD": "password", "MARIADB_DATABASE": "database", "MARIADB_ROOT_PASSWORD": "password",
		},
	},
	"redis": {
		scheme: "redis", user: "default", port: 6379, path: "/data",
		env:  map[string]string{"REDIS_PASSWORD": "password"},
		args: []string{"redis-server", "--requirepass", "$(REDIS_PASSWORD)", "--appendonly", "yes"},
	},
	"mongodb": {
		scheme: "mongodb", query: "authSource=admin", port: 27017, path: "/data/db", subPath: "db",
		env: map[string]string{
			"MONGO_INITDB_ROOT_USERNAME": "user", "MONGO_INITDB_ROOT_PASSWORD": "password", "MONGO_INITDB_DATABASE": "database",
		},
	},
}

// engineOf returns what is known of a database's engine. Of one that is not
// known, the image gets the credentials under common names.
func engineOf(name string) engine {
	if e, ok := engines[name]; ok {
		return e
	}
	return engine{
		scheme: name, path: "/data",
		env: map[string]string{"DATABASE_USER": "user", "DATABASE_PASSWORD": "password", "DATABASE_NAME": "database"},
	}
}

// database adds what a database needs. What the service says itself stays.
func (v *values) database(s plan.Service) {
	e := engineOf(s.Workload.Database.Engine)
	v.GraceSeconds = 60
	// The engine's own come first, so that those of the service can contain their $(NAME).
	var own []envVar
	for _, name := range slices.Sorted(maps.Keys(e.env)) {
		if slices.ContainsFunc(v.Env, func(have envVar) bool { return have.Name == name }) {
			continue
		}
		out := envVar{Name: name}
		if text, ok := strings.CutPrefix(e.env[name], "="); ok {
			out.Value = text
		} else {
			out.Secret = &secretKey{CredentialsName(s.Name), e.env[name]}
		}
		own = append(own, out)
	}
	v.Env = slices.Concat(own, v.Env)
	if len(v.Command) == 0 && len(v.Args) == 0 {
		v.Args = e.args
	}
	if !slices.ContainsFunc(v.Volumes, func(have volume) bool { return have.Path == e.path }) {
		name := "data"
		for slices.ContainsFunc(v.Volumes, func(have volume) bool { return have.Name == name }) {
			name += "-db"
		}
		v.Volumes = slices.Insert(v.Volumes, 0, volume{name, e.path, s.Workload.Database.Storage, e.subPath})
	}
}

// CredentialsName returns the name of the Secret with the credentials of a
// database (D6).
func CredentialsName(service string) string { return service + "-credentials" }

// User returns the name of the user whose credentials a database gets.
func User(s plan.Service) string {
	if d := s.Workload.Database; d != nil {
		if e := engineOf(d.Engine); e.user != "" {
			return e.user
		}
	}
	return appName
}

// Credentials returns what the Secret with the credentials of a database
// holds: user, password, host, port, database and url.
func Credentials(s plan.Service, user, password string) map[string]string {
	e := engineOf(s.Workload.Database.Engine)
	port := e.port
	if ports := s.Workload.Ports; len(ports) > 0 {
		port = ports[0].Number
	}
	address := url.URL{Scheme: e.scheme, User: url.UserPassword(user, password), Host: s.Name, Path: "/" + appName, RawQuery: e.query}
	if e.scheme == "redis" {
		address.Path = "/0"
	}
	if port != 0 {
		address.Host += ":" + strconv.Itoa(port)
	}
	return map[string]string{
		"user":     user,
		"password": password,
		"host":     s.Name,
		"port":     strconv.Itoa(port),
		"database": strings.TrimPrefix(address.Path, "/"),
		"url":      address.String(),
	}
}
