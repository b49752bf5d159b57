package initialize

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/pipelinefile/pipe/internal/builtins"
	"github.com/pipelinefile/pipe/internal/paths"
	"github.com/pipelinefile/pipe/plan"
)

// service converts a service of the compose file.
func (c *composer) service(name string, s *types.ServiceConfig, all *types.Project) *service {
	out := &service{name: name, kind: plan.Container}
	c.image(out, s)
	if s.Restart == "no" && len(s.Ports) == 0 && len(s.Profiles) == 0 || s.Restart == "no" && len(s.Profiles) > 0 ||
		s.Deploy != nil && strings.HasSuffix(s.Deploy.Mode, "-job") {
		if engineOf(out.image) == "" {
			out.kind = plan.Job
		}
	}
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		out.needs = append(out.needs, need{dep, s.DependsOn[dep].Condition == types.ServiceConditionCompletedSuccessfully})
	}
	if len(s.Profiles) > 0 {
		if engineOf(out.image) != "" {
			out.note("profiles %s: it is always deployed, unless you set skip = True.", quotedList(s.Profiles))
		} else {
			out.skip = true
			out.about = strings.TrimSpace(out.about + " Profile " + quotedList(s.Profiles) + ": pipe run --service " + label(name, maxServiceName) + " deploys it.")
		}
	}
	c.env(out, s, all)
	out.command, out.arguments = escape(s.Entrypoint), escape(s.Command)
	if secretIn(out.command) || secretIn(out.arguments) {
		out.command, out.arguments = nil, nil
		out.note("entrypoint and command were left out, because they seem to contain a secret. Put it into env= with secret(…), and use $(NAME) in command= or args=.")
	}
	if strings.Contains(strings.Join(append(out.command, out.arguments...), " "), "${") {
		out.note("the command contains a variable without a value, such as %s.", quoted(unset.FindString(strings.Join(append(out.command, out.arguments...), " "))))
	}
	if out.kind != plan.Job {
		c.ports(out, s)
		c.health(out, s)
	}
	c.volumes(out, s, all)
	c.scale(out, s)
	c.security(out, s)
	c.rest(out, s)
	return out
}

func quotedList(list []string) string { return strings.Join(quotedAll(list), ", ") }

// escape keeps Kubernetes from expanding $(NAME), which Compose does not expand.
func escape(argv []string) []string {
	var out []string
	for _, a := range argv {
		out = append(out, strings.ReplaceAll(a, "$(", "$$("))
	}
	return out
}

func (c *composer) image(out *service, s *types.ServiceConfig) {
	if s.Build == nil {
		image := s.Image
		if image == "" {
			out.note("it has neither image nor build: set image=.")
			image = out.unknown()
		}
		if unset.MatchString(image) {
			out.note("its image is %s, and the variable has no value: write the version, or use a param(…).", quoted(image))
			name, tag, _ := plan.CutImage(image)
			name = strings.ToLower(unset.ReplaceAllString(name, "${1}"))
			if tag = unset.ReplaceAllString(tag, "${1}"); tag != "" {
				name += ":" + tag
			}
			image = name
		}
		out.setImage(image, "the compose file")
		return
	}
	b := s.Build
	dir, ok := c.below(b.Context)
	file := b.Dockerfile
	if file == "" {
		file = "Dockerfile"
	}
	if filepath.IsAbs(file) {
		file, _ = filepath.Rel(b.Context, file)
	}
	file = filepath.ToSlash(file)
	reason := ""
	switch {
	case strings.Contains(b.Context, "://") || strings.HasPrefix(b.Context, "git@"):
		reason = "it is built from a git repository: set source = git(…)"
	case dir == "":
		reason = "its build context is outside of the directory: put the Pipelinefile into a directory that contains both"
	case !ok:
		reason = "its build context " + quoted(dir) + " is not a directory: create it, and set source = local(…)"
	case b.DockerfileInline != "":
		reason = "its Dockerfile is inline in the compose file: write it to a file, and set source = local(…)"
	case !local(file):
		reason = "its Dockerfile is outside of the build context: move it, or build from a directory that contains both"
	case !c.isFile(path.Join(dir, file)):
		reason = "there is no Dockerfile at " + quoted(path.Join(dir, file)) + ": create it, and set source = local(…)"
	}
	if reason != "" {
		out.note("%s. Until then, it is a container with a placeholder image.", reason)
		out.image = out.unknown()
		return
	}
	out.kind, out.source, out.target = plan.Application, dir, b.Target
	if file != "Dockerfile" {
		out.file = file
	}
	for _, k := range slices.Sorted(maps.Keys(b.Args)) {
		v := b.Args[k]
		switch {
		case v == nil || unset.MatchString(*v):
			out.note("build argument %s has no value: set it in args = {…} of dockerfile().", quoted(k))
		case looksSecret(k, *v):
			out.note("build argument %s looks like a secret, and the image would contain it: use dockerfile(secrets = [%q]) and RUN --mount=type=secret.", quoted(k), secretOf(k))
		default:
			out.args = append(out.args, pair{k, *v})
		}
	}
	for _, other := range []struct {
		name string
		has  bool
	}{
		{"additional_contexts", len(b.AdditionalContexts) > 0}, {"ssh", len(b.SSH) > 0}, {"secrets", len(b.Secrets) > 0},
		{"network", b.Network != ""}, {"extra_hosts", len(b.ExtraHosts) > 0},
	} {
		if other.has {
			out.note("build.%s was left out: secrets of a build are dockerfile(secrets = […]); there is no counterpart of other fields.", other.name)
		}
	}
}

// below returns a path of the loader relative to the directory, and whether it is in the
// directory.
func (c *composer) below(abs string) (string, bool) {
	rel := paths.Below(c.dir, abs)
	return rel, rel != "" && c.isDir(rel)
}

func (c *composer) env(out *service, s *types.ServiceConfig, all *types.Project) {
	env, from := map[string]*string{}, map[string]string{}
	for _, f := range s.EnvFiles {
		name, err := filepath.Rel(c.dir, f.Path)
		if err != nil {
			name = f.Path
		}
		vars, err := c.dotenv(filepath.ToSlash(name))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) || bool(f.Required) {
				out.note("env_file %s could not be read: set its variables in env=.", quoted(filepath.ToSlash(name)))
			}
			continue
		}
		file := c.readable(filepath.ToSlash(name), vars)
		if file != "" {
			out.envFiles = append(out.envFiles, envFile{file, vars})
		}
		for k, v := range vars {
			if same, ok := all.Environment[k]; ok && same == v && looksSecret(k, v) {
				v = "${" + k + "}" // as where the compose file names the variable
			}
			env[k], from[k] = &v, file
		}
	}
	for k, v := range s.Environment {
		env[k], from[k] = v, ""
	}
	var missing []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		v := env[k]
		if !builtins.IsEnvName(k) {
			out.note("%s is not a valid variable name in Kubernetes.", quoted(k))
			continue
		}
		if v == nil {
			v = new(string)
			*v = "${" + k + "}"
		}
		if m := unset.FindAllStringSubmatch(*v, -1); m != nil {
			secret := slices.ContainsFunc(m, func(m []string) bool { return secretName.MatchString(m[1]) }) || secretName.MatchString(k)
			if secret {
				out.env = append(out.env, variable{name: k, text: *v, secret: secretOf(k)})
			} else {
				missing = append(missing, k)
			}
			continue
		}
		out.setEnv(k, strings.ReplaceAll(*v, "$(", "$$("))
		out.env[len(out.env)-1].file = from[k]
	}
	if len(missing) > 0 {
		out.note("variables without a value in the compose file were left out: %s. Set them in env=, with param(…) if they vary.", quotedList(missing))
	}
}

// readable returns the name of an env file if read_env() reads the same variables from it
// and none of them looks like a secret, otherwise "".
func (c *composer) readable(name string, vars map[string]string) string {
	data, err := c.text(name)
	if err != nil {
		return ""
	}
	read := map[string]string{}
	err = builtins.EachEnv(data, func(name, value string) error {
		read[name] = value
		return nil
	})
	if err != nil || len(vars) == 0 || !maps.Equal(read, vars) {
		return ""
	}
	for k, v := range vars {
		if looksSecret(k, v) || unset.MatchString(v) || strings.Contains(v, "$(") || !builtins.IsEnvName(k) {
			return ""
		}
	}
	return name
}

func (c *composer) ports(out *service, s *types.ServiceConfig) {
	add := func(number int, protocol, published string) {
		p := port{number: number, protocol: strings.ToUpper(protocol)}
		if p.protocol == "UDP" {
			p.name = "udp-" + strconv.Itoa(number)
		}
		if n, err := strconv.Atoi(published); err == nil && n > 0 && n < 65536 && n != number && p.protocol != "UDP" {
			p.local = n
		}
		if number > 0 && number < 65536 && !slices.ContainsFunc(out.ports, func(o port) bool { return o.number == number && o.protocol == p.protocol }) {
			out.ports = append(out.ports, p)
		}
	}
	for _, p := range s.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = "tcp"
		}
		add(int(p.Target), protocol, p.Published)
	}
	for _, e := range s.Expose {
		number, protocol, ok := strings.Cut(e, "/")
		if !ok {
			protocol = "tcp"
		}
		if n, err := strconv.Atoi(number); err == nil {
			add(n, protocol, "")
		} else {
			out.note("expose %s is a range: write each port in ports=.", quoted(e))
		}
	}
}

func (c *composer) health(out *service, s *types.ServiceConfig) {
	h := s.HealthCheck
	if h == nil || h.Disable || len(h.Test) < 2 || h.Test[0] == "NONE" {
		return
	}
	argv := h.Test[1:]
	// the most common form of a health check
	request := regexp.MustCompile(`^(?:curl|wget)\b[^|;&]*?\shttp://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::([0-9]{1,5}))?(/[A-Za-z0-9._~/?=%-]*)?['"]?(?:\s+-O\s*\S+)?\s*(?:\|\|\s*(?:exit 1|false))?\s*$`)
	if m := request.FindStringSubmatch(strings.Join(argv, " ")); m != nil {
		out.health = &health{kind: "http", path: m[2], port: 80}
		if m[1] != "" {
			out.health.port, _ = strconv.Atoi(m[1])
		}
		if m[2] == "" {
			out.health.path = "/"
		}
		if out.health.port < 1 || out.health.port > 65535 {
			out.health = nil
		}
		return
	}
	if h.Test[0] == "CMD-SHELL" {
		argv = append([]string{"/bin/sh", "-c"}, argv...)
	}
	switch {
	case secretIn(argv):
		out.note("its healthcheck was left out, because it seems to contain a secret. Set health = command(…), and read the secret from a variable.")
	case unset.MatchString(strings.Join(argv, " ")):
		out.note("its healthcheck was left out, because it contains a variable without a value. Set health = command(…).")
	default:
		out.health = &health{kind: "command", command: argv}
	}
}
