package builtins

import (
	"net/url"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// databaseAccess are the parameters of a database that say how services reach it.
type databaseAccess struct {
	Database string     `arg:"database,kw" default:"None" help:"the name of the database in the server, when it is first started; app if not given, of redis 0"`
	User     string     `arg:"user,kw" default:"None" help:"the user, when it is first started; app if not given"`
	Options  optionsArg `arg:"options,kw" default:"{}" help:"options in .url, such as {\"sslmode\": \"require\"}; None removes one that is there by default"`
	Shared   string     `arg:"shared_memory,kw" default:"None" only:"generated" help:"the size of /dev/shm, such as \"1Gi\", which PostgreSQL needs for large queries; 64Mi if not given"`
}

// optionsArg are options of a URL. A nil value removes an option.
type optionsArg map[string]*string

func (optionsArg) TypeName() string { return "dict[str, str | int | bool]" }

// Unpack accepts strings, numbers, booleans and None.
func (o *optionsArg) Unpack(v starlark.Value) error {
	out := optionsArg{}
	p := convert.Entries(v, "dict", func(name string, v starlark.Value) *explain.Error {
		if v == starlark.None {
			out[name] = nil
			return nil
		}
		text, p := convert.Scalar(v)
		out[name] = &text
		return p
	})
	if p != nil {
		return p
	}
	if len(out) > 0 {
		*o = out
	}
	return nil
}

// databaseAccess checks the parameters.
func (c *Call) databaseAccess(a *databaseAccess, e chartspec.Engine) plan.DatabaseAccess {
	out := plan.DatabaseAccess{Name: a.Database, User: a.User}
	if a.Database != "" {
		c.wrong("database", checkDatabaseName(e, a.Database))
	}
	if a.User != "" {
		c.wrong("user", checkDatabaseUser(e, a.User))
	}
	if len(a.Options) > 0 {
		query, _ := url.ParseQuery(e.Query) // those of the engines are valid
		for name, value := range a.Options {
			query.Del(name)
			if value != nil {
				query.Set(name, *value)
			}
		}
		text := query.Encode()
		out.Query = &text
	}
	return out
}

func checkDatabaseName(e chartspec.Engine, name string) *explain.Error {
	redis := e.Scheme == "redis"
	switch {
	case redis && !explain.IsDecimal(name, 4):
		return explain.Errorf("%q is not a database of redis", explain.Clip(name)).WithHint(`redis numbers its databases: write, for example, "0"`)
	case !redis && !databaseName.fits(name):
		return explain.Errorf("%q is not a valid name of a database: want letters, digits, '_' and '-'", explain.Clip(name))
	}
	return nil
}

func checkDatabaseUser(e chartspec.Engine, user string) *explain.Error {
	switch {
	case e.NoUser != "" && strings.HasPrefix(user, e.NoUser):
		return explain.Errorf("%q: %s reserves names that begin with %s", explain.Clip(user), e.Name, e.NoUser)
	case e.MaxUser > 0 && len(user) > e.MaxUser:
		return explain.Errorf("%q has %d characters, and a user of %s at most %d", explain.Clip(user), len(user), e.Name, e.MaxUser)
	case e.User != "":
		return explain.Errorf("the user of %s is %s", e.Name, e.User).WithHint("leave it out")
	case user == "root" && e.Scheme == "mysql":
		return explain.Errorf("root exists in every server, with the same password").WithHint("leave it out, or write another user")
	case !databaseName.fits(user):
		return explain.Errorf("%q is not a valid name of a user: want letters, digits, '_' and '-'", explain.Clip(user))
	}
	return nil
}

// sharedMemory adds the volume at /dev/shm.
func (c *Call) sharedMemory(w *plan.Workload, a *databaseArgs) {
	if a.Shared == "" {
		return
	}
	const at = "/dev/shm"
	c.wrong("shared_memory", checkMemory(a.Shared, "1Gi"))
	if i := slices.IndexFunc(a.Volumes, func(v *Volume) bool { return v.path() == at }); i >= 0 {
		c.wrong("volumes", explain.Errorf("%q is the path of shared_memory=", at).In(i).WithHint("leave one of them out"))
	}
	w.Scratch = append(w.Scratch, plan.Scratch{Path: at, Size: a.Shared, Memory: true})
}

// urlFor returns the function that returns the URL of a database in another form.
func (s *Service) urlFor() *starlark.Builtin {
	return starlark.NewBuiltin("url_for", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var form string
		if err := starlark.UnpackArgs("url_for", args, kwargs, "form", &form); err != nil {
			return nil, err
		}
		d := s.Plan.Workload.Database
		e, _ := chartspec.EngineNamed(d.Engine)
		switch {
		case !urlScheme.fits(form):
			return nil, explain.Errorf("url_for: %q is not the scheme of a URL", explain.Clip(form)).WithHint(`write, for example, db.url_for("jdbc") or db.url_for("mysql2")`)
		case form == "jdbc" && e.JDBC == "":
			return nil, explain.Errorf("url_for: a database of the engine %s has no URL for JDBC", d.Engine)
		}
		if i, has := slices.BinarySearch(d.URLs, form); !has {
			if len(d.URLs) >= maxURLs {
				return nil, explain.Errorf("url_for: %s has more than %d forms of its URL", s.Plan.Name, maxURLs)
			}
			d.URLs = slices.Insert(d.URLs, i, form)
		}
		return s.credential(plan.URLKey(form)), nil
	})
}

// maxURLs is the maximum number of forms of a database's URL.
const maxURLs = 20

// databaseName returns the name of the database in the server.
func (s *Service) databaseName() starlark.Value {
	d := s.Plan.Workload.Database
	e, _ := chartspec.EngineNamed(d.Engine)
	return starlark.String(e.DatabaseName(d))
}
