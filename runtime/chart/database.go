package chart

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// database adds the defaults for a database. Settings of the service take precedence.
func (v *values) database(s plan.Service) {
	e, _ := chartspec.EngineNamed(s.Workload.Database.Engine)
	// The variables of the engine come first, so that those of the service can use $(NAME).
	var own []envVar
	for _, variable := range e.Env {
		if slices.ContainsFunc(v.Env, func(have envVar) bool { return have.Name == variable.Name }) {
			continue
		}
		out := envVar{Name: variable.Name, Value: variable.Value}
		if variable.Credential != "" {
			out.Secret = &secretKey{plan.CredentialsName(s.Name), variable.Credential}
		}
		own = append(own, out)
	}
	v.Env = slices.Concat(own, v.Env)
	if len(v.Command) == 0 && len(v.Args) == 0 {
		v.Args = e.Args
	}
	if !v.mounted(e.Path) {
		name := "data"
		for slices.ContainsFunc(v.Volumes, func(have volume) bool { return have.Name == name }) {
			name += "-db"
		}
		v.Volumes = slices.Insert(v.Volumes, 0, volume{Name: name, Path: e.Path, Size: s.Workload.Database.Storage, SubPath: e.SubPath})
	}
}

// User returns the name of the user whose credentials a database gets.
func User(s plan.Service) string {
	var e chartspec.Engine
	if d := s.Workload.Database; d != nil {
		e, _ = chartspec.EngineNamed(d.Engine)
	}
	return e.UserName(s.Workload.Database)
}

// Credentials returns the content of the Secret with the credentials of a database:
// user, password, host, port, database, url, and the other forms of the URL that services
// use.
func Credentials(s plan.Service, user, password string) map[string]string {
	d := s.Workload.Database
	e, _ := chartspec.EngineNamed(d.Engine)
	port := e.Port
	if ports := s.Workload.Ports; len(ports) > 0 {
		port = ports[0].ServicePort()
	}
	name, query := e.DatabaseName(d), e.Query
	if d.Query != nil {
		query = *d.Query
	}
	address := url.URL{Scheme: e.Scheme, User: url.UserPassword(user, password), Host: s.Name, Path: "/" + name, RawQuery: query}
	if port != 0 {
		address.Host += ":" + strconv.Itoa(port)
	}
	out := map[string]string{
		"user":     user,
		"password": password,
		"host":     s.Name,
		"port":     strconv.Itoa(port),
		"database": name,
		"url":      address.String(),
	}
	for _, form := range d.URLs {
		out[plan.URLKey(form)] = urlFor(form, e, address)
	}
	return out
}

// urlFor returns the address of a database in another form. JDBC has the user and the
// password in the query.
func urlFor(form string, e chartspec.Engine, address url.URL) string {
	if form != "jdbc" {
		address.Scheme = form
		return address.String()
	}
	password, _ := address.User.Password()
	login := "user=" + url.QueryEscape(address.User.Username()) + "&password=" + url.QueryEscape(password)
	if address.RawQuery != "" {
		login += "&"
	}
	address.Scheme, address.User, address.RawQuery = e.JDBC, nil, login+address.RawQuery
	return "jdbc:" + address.String()
}
