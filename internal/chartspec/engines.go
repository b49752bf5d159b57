package chartspec

import (
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// An Engine has the information that is needed to run the official image of a database,
// or an image with the same variables.
type Engine struct {
	Name    string
	Aliases []string // other names
	Image   string   // without a tag; empty: not known
	Like    []string // images of others that extend it
	Scheme  string   // of its URL
	Query   string   // of its URL
	User    string   // required user name; empty: any
	NoUser  string   // prefix of names that a user cannot have; empty: none
	MaxUser int      // maximum length of the name of a user; 0: that of all engines
	Numbers int      // databases have numbers below this one, unless the server has other arguments; 0: names
	JDBC    string   // scheme of its URL for JDBC, without "jdbc:"; empty: there is none
	Port    int      // 0: not known
	Path    string   // directory of its data
	SubPath string   // directory of the volume to mount, if the engine requires an empty one
	Health  plan.Health
	Env     []Variable // sorted by name
	Args    []string   // of its container, unless the service has its own
}

// A Variable is an environment variable of an engine's image: one of the
// credentials, or a value.
type Variable struct {
	Name       string
	Credential string // "user", "password" or "database"; empty: it is Value
	Value      string
	InURL      bool // the URL of the database is wrong if the value is changed
}

// A TCP connection is the right health check for these images: during their setup they
// listen only on a socket or the loopback interface. PostgreSQL also accepts connections
// during recovery, so its check is pg_isready.
var engines = []Engine{
	{
		Name: "postgresql", Aliases: []string{"postgres", "pg", "pgsql"}, Image: "docker.io/library/postgres",
		Like:   []string{"docker.io/postgis/postgis", "docker.io/pgvector/pgvector"},
		Scheme: "postgresql", JDBC: "postgresql", Query: "sslmode=disable", // the image has no certificate, and some drivers require one by default
		NoUser: "pg_", Port: 5432, Path: "/var/lib/postgresql/data",
		Health: plan.Health{Kind: plan.HealthCommand, Command: []string{"pg_isready", "-q", "-h", "127.0.0.1"}},
		Env: []Variable{
			// The root of the volume may contain lost+found, and its mode may not be 0700.
			{Name: "PGDATA", Value: "/var/lib/postgresql/data/pgdata"},
			{Name: "POSTGRES_DB", Credential: "database", InURL: true},
			{Name: "POSTGRES_PASSWORD", Credential: "password", InURL: true},
			{Name: "POSTGRES_USER", Credential: "user", InURL: true},
		},
	},
	{
		Name: "mysql", Image: "docker.io/library/mysql", Scheme: "mysql", JDBC: "mysql", MaxUser: 32, Port: 3306, Path: "/var/lib/mysql", SubPath: "mysql",
		Health: plan.Health{Kind: plan.HealthTCP, Port: 3306},
		Env: []Variable{
			{Name: "MYSQL_DATABASE", Credential: "database", InURL: true},
			{Name: "MYSQL_PASSWORD", Credential: "password", InURL: true},
			{Name: "MYSQL_ROOT_PASSWORD", Credential: "password"},
			{Name: "MYSQL_USER", Credential: "user", InURL: true},
		},
	},
	{
		Name: "mariadb", Aliases: []string{"maria"}, Image: "docker.io/library/mariadb", Scheme: "mysql", JDBC: "mariadb", Port: 3306, Path: "/var/lib/mysql", SubPath: "mysql",
		Health: plan.Health{Kind: plan.HealthTCP, Port: 3306},
		Env: []Variable{
			{Name: "MARIADB_DATABASE", Credential: "database", InURL: true},
			{Name: "MARIADB_PASSWORD", Credential: "password", InURL: true},
			{Name: "MARIADB_ROOT_PASSWORD", Credential: "password"},
			{Name: "MARIADB_USER", Credential: "user", InURL: true},
		},
	},
	{
		Name: "redis", Image: "docker.io/library/redis", Scheme: "redis", User: "default", Numbers: 16, Port: 6379, Path: "/data",
		Health: plan.Health{Kind: plan.HealthTCP, Port: 6379},
		Env:    []Variable{{Name: "REDIS_PASSWORD", Credential: "password", InURL: true}},
		Args:   []string{"redis-server", "--requirepass", "$(REDIS_PASSWORD)", "--appendonly", "yes"},
	},
	{
		Name: "mongodb", Aliases: []string{"mongo"}, Image: "docker.io/library/mongo", Scheme: "mongodb", Query: "authSource=admin", Port: 27017, Path: "/data/db", SubPath: "db",
		Health: plan.Health{Kind: plan.HealthTCP, Port: 27017},
		Env: []Variable{
			{Name: "MONGO_INITDB_DATABASE", Credential: "database", InURL: true},
			{Name: "MONGO_INITDB_ROOT_PASSWORD", Credential: "password", InURL: true},
			{Name: "MONGO_INITDB_ROOT_USERNAME", Credential: "user", InURL: true},
		},
	},
}

// Engines returns the known engines.
func Engines() []Engine { return slices.Clone(engines) }

// EngineOf returns the engine that an image runs: the official one, or one that extends it.
func EngineOf(image string) (Engine, bool) {
	name, _, _ := plan.CutImage(image)
	first, _, named := strings.Cut(name, "/")
	switch {
	case !named:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		name = "docker.io/" + name
	}
	i := slices.IndexFunc(engines, func(e Engine) bool { return e.Image == name || slices.Contains(e.Like, name) })
	if i < 0 {
		return Engine{}, false
	}
	return engines[i], true
}

// EngineNamed returns the engine with that name or alias, ignoring case, and whether it is
// known. The image of an unknown engine gets the credentials in variables with common
// names.
func EngineNamed(name string) (Engine, bool) {
	same := func(other string) bool { return strings.EqualFold(other, name) }
	if i := slices.IndexFunc(engines, func(e Engine) bool { return same(e.Name) || slices.ContainsFunc(e.Aliases, same) }); i >= 0 {
		return engines[i], true
	}
	return Engine{
		Name: name, Scheme: name, Path: "/data",
		Env: []Variable{
			{Name: "DATABASE_NAME", Credential: "database", InURL: true},
			{Name: "DATABASE_PASSWORD", Credential: "password", InURL: true},
			{Name: "DATABASE_USER", Credential: "user", InURL: true},
		},
	}, false
}
