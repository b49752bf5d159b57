package chartspec

import (
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
)

// An Engine is what has to be known of a database to run its official image,
// or one that takes the same variables.
type Engine struct {
	Name    string
	Aliases []string // other names of it
	Image   string   // without a tag; empty: there is none that is known
	Scheme  string   // of its URL
	Query   string   // of its URL
	User    string   // the name that the user has to have; empty: any
	Port    int      // 0: not known
	Path    string   // where its data is
	SubPath string   // directory of the volume that is mounted there, for engines that want it to be empty
	Health  plan.Health
	Env     []Variable // sorted by name
	Args    []string   // of its container, where a service gives none
}

// A Variable is an environment variable of an engine's image: one of the
// credentials, or a value.
type Variable struct {
	Name       string
	Credential string // "user", "password" or "database"; empty: it is Value
	Value      string
	InURL      bool // the URL of the database is wrong if it has another value
}

// A connection is the right check for these images: while they set themselves
// up they listen on a socket or on loopback only. PostgreSQL also accepts
// connections while it recovers, so it is asked.
var engines = []Engine{
	{
		Name: "postgresql", Aliases: []string{"postgres", "pg", "pgsql"}, Image: "docker.io/library/postgres",
		Scheme: "postgresql", Query: "sslmode=disable", // the image has no certificate, and some drivers insist on one
		Port: 5432, Path: "/var/lib/postgresql/data",
		Health: plan.Health{Kind: plan.HealthCommand, Command: []string{"pg_isready", "-q", "-h", "127.0.0.1"}},
		Env: []Variable{
			// The volume's own directory may hold a lost+found and may not be 0700.
			{Name: "PGDATA", Value: "/var/lib/postgresql/data/pgdata"},
			{Name: "POSTGRES_DB", Credential: "database", InURL: true},
			{Name: "POSTGRES_PASSWORD", Credential: "password", InURL: true},
			{Name: "POSTGRES_USER", Credential: "user", InURL: true},
		},
	},
	{
		Name: "mysql", Image: "docker.io/library/mysql", Scheme: "mysql", Port: 3306, Path: "/var/lib/mysql", SubPath: "mysql",
		Health: plan.Health{Kind: plan.HealthTCP, Port: 3306},
		Env: []Variable{
			{Name: "MYSQL_DATABASE", Credential: "database", InURL: true},
			{Name: "MYSQL_PASSWORD", Credential: "password", InURL: true},
			{Name: "MYSQL_ROOT_PASSWORD", Credential: "password"},
			{Name: "MYSQL_USER", Credential: "user", InURL: true},
		},
	},
	{
		Name: "mariadb", Aliases: []string{"maria"}, Image: "docker.io/library/mariadb", Scheme: "mysql", Port: 3306, Path: "/var/lib/mysql", SubPath: "mysql",
		Health: plan.Health{Kind: plan.HealthTCP, Port: 3306},
		Env: []Variable{
			{Name: "MARIADB_DATABASE", Credential: "database", InURL: true},
			{Name: "MARIADB_PASSWORD", Credential: "password", InURL: true},
			{Name: "MARIADB_ROOT_PASSWORD", Credential: "password"},
			{Name: "MARIADB_USER", Credential: "user", InURL: true},
		},
	},
	{
		Name: "redis", Image: "docker.io/library/redis", Scheme: "redis", User: "default", Port: 6379, Path: "/data",
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

// Engines returns the engines that are known.
func Engines() []Engine { return slices.Clone(engines) }

// EngineNamed returns the engine of that name or alias, in small or capital
// letters, and whether it is known. Of one that is not known, the image gets the
// credentials under common names.
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
