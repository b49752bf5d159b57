package chart

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// appName is the name of the user and of the database in it.
const appName = "app"

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
	if d := s.Workload.Database; d != nil {
		if e, _ := chartspec.EngineNamed(d.Engine); e.User != "" {
			return e.User
		}
	}
	return appName
}

// Credentials returns the content of the Secret with the credentials of a database:
// user, password, host, port, database and url.
func Credentials(s plan.Service, user, password string) map[string]string {
	e, _ := chartspec.EngineNamed(s.Workload.Database.Engine)
	port := e.Port
	if ports := s.Workload.Ports; len(ports) > 0 {
		port = ports[0].ServicePort()
	}
	address := url.URL{Scheme: e.Scheme, User: url.UserPassword(user, password), Host: s.Name, Path: "/" + appName, RawQuery: e.Query}
	if e.Scheme == "redis" {
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
