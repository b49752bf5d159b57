package initialize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/pipelinefile/pipe/plan"
)

// A composer reads a compose file.
type composer struct {
	*files
	dir     string // absolute
	project *project
	shared  map[string]string // the first service of a named volume
}

var versionLine = regexp.MustCompile(`(?m)^version:[^\n]*$`)

// readCompose reads a compose file. It first checks that files that are included and
// extended are within the directory, because the loader opens them itself.
func readCompose(ctx context.Context, f *files, dir, name string, p *project) error {
	c := &composer{files: f, dir: dir, project: p, shared: map[string]string{}}
	data, err := f.text(name)
	if err != nil {
		return err
	}
	docs, err := documents(name, data)
	if err != nil {
		return err
	}
	base := path.Dir(name)
	if err := c.within(name, docs, base, map[string]bool{name: true}, 0); err != nil {
		return err
	}
	for _, doc := range docs {
		if m, ok := doc.(map[string]any); ok {
			if own, _ := m["name"].(string); label(own, maxPipelineName) != "" && !strings.Contains(own, "$") {
				p.name = label(own, maxPipelineName)
			}
		}
	}
	env, err := c.dotenv(path.Join(base, ".env"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	details := types.ConfigDetails{
		WorkingDir:  filepath.Join(dir, filepath.FromSlash(base)),
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, filepath.FromSlash(name)), Content: versionLine.ReplaceAll(data, nil)}},
		Environment: env,
	}
	compose, err := loader.LoadWithContext(ctx, details, func(o *loader.Options) {
		o.SetProjectName(p.name, true)
		o.Profiles = []string{"*"}
		o.SkipResolveEnvironment, o.SkipResolveLabels = true, true
		o.Interpolate.Substitute = substitute
	})
	if err != nil {
		return fmt.Errorf("%s: %w; to check it, run: docker compose config", name, c.relative(err))
	}
	for _, name := range slices.Sorted(maps.Keys(compose.Services)) {
		s := compose.Services[name]
		p.services = append(p.services, c.service(name, &s, compose))
	}
	for _, s := range p.services {
		for _, v := range s.volumes {
			if v.source != "" && !v.disk && engineOf(s.image) == "" {
				s.note("the size of volume %s is a guess.", quoted(v.source))
			}
		}
		for _, n := range s.needs {
			if other := p.service(n.name); n.done && other != nil && other.kind != plan.Job {
				other.kind, other.health, other.replicas, other.noReplicas, other.ports = plan.Job, nil, 0, false, nil
			}
		}
	}
	if slices.ContainsFunc(p.services, func(s *service) bool { return len(s.ports) > 0 }) {
		p.note("no port is reachable from outside the cluster: port(…, public = True, host = …) creates an Ingress; pipe forward opens ports on your machine.")
	}
	p.databases()
	return nil
}

// relative returns the error without the path of the directory.
func (c *composer) relative(err error) error {
	return errors.New(strings.ReplaceAll(strings.ReplaceAll(err.Error(), c.dir+string(filepath.Separator), ""), "\n", " "))
}

// within checks that the files that file includes and extends are in the directory and
// readable.
func (c *composer) within(file string, docs []any, base string, seen map[string]bool, depth int) error {
	if depth > 20 {
		return fmt.Errorf("%s: files include each other more than 20 deep", file)
	}
	open := func(ref, of, base string) error {
		if strings.Contains(ref, "$") || path.IsAbs(ref) || strings.Contains(ref, "://") || strings.HasPrefix(ref, "git@") || !local(path.Join(base, ref)) {
			return fmt.Errorf("%s: %s names %s, which is not a file in the directory: copy it into the directory", file, of, quoted(ref))
		}
		name := path.Join(base, ref)
		if seen[name] {
			return nil
		}
		seen[name] = true
		data, err := c.text(name)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, of, err)
		}
		more, err := documents(name, data)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, of, err)
		}
		return c.within(name, more, path.Dir(name), seen, depth+1)
	}
	var look func(v any) error
	look = func(v any) error {
		switch v := v.(type) {
		case map[string]any:
			if ext, ok := v["extends"].(map[string]any); ok {
				if ref, ok := ext["file"].(string); ok {
					if err := open(ref, "extends", base); err != nil {
						return err
					}
				}
			}
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if err := look(v[k]); err != nil {
					return err
				}
			}
		case []any:
			for _, e := range v {
				if err := look(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, doc := range docs {
		if err := look(doc); err != nil {
			return err
		}
		m, _ := doc.(map[string]any)
		list, _ := m["include"].([]any)
		for _, e := range list {
			entry, ok := e.(map[string]any)
			if !ok {
				entry = map[string]any{"path": e}
			}
			home := base
			if dir, ok := entry["project_directory"].(string); ok {
				if home = path.Join(base, dir); strings.Contains(dir, "$") || path.IsAbs(dir) || !local(home) {
					return fmt.Errorf("%s: include names %s, which is outside of the directory", file, quoted(dir))
				}
			}
			for _, ref := range texts(entry["path"]) {
				if err := open(ref, "include", base); err != nil {
					return err
				}
				if err := c.checkEnv(path.Join(path.Dir(path.Join(base, ref)), ".env")); err != nil {
					return err
				}
			}
			for _, ref := range append(texts(entry["env_file"]), ".env") {
				at := path.Join(base, ref)
				if ref == ".env" {
					at = path.Join(home, ref)
				}
				if path.IsAbs(ref) || strings.Contains(ref, "$") {
					return fmt.Errorf("%s: include names the file %s, which is outside of the directory", file, quoted(ref))
				}
				if err := c.checkEnv(at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkEnv checks a dotenv file that the loader reads, if it exists.
func (c *composer) checkEnv(name string) error {
	if _, err := c.text(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if text, ok := e.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

// dotenv reads a dotenv file.
func (c *composer) dotenv(name string) (map[string]string, error) {
	data, err := c.text(name)
	if err != nil {
		return nil, err
	}
	env, err := dotenv.ParseWithLookup(bytes.NewReader(data), func(string) (string, bool) { return "", false })
	if err != nil {
		return nil, fmt.Errorf("%s is not a valid env file: lines must have the form NAME=VALUE", name) // the library quotes the line
	}
	return env, nil
}

// unset matches a variable of the compose file that has no value, or a secret one.
var unset = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// substitute replaces variables of .env and defaults. A variable without a value, or
// one that looks like a secret, stays as ${NAME}.
func substitute(text string, known template.Mapping) (string, error) {
	vars := template.ExtractVariables(map[string]any{"": text}, template.DefaultPattern)
	return template.Substitute(text, func(name string) (string, bool) {
		value, ok := known(name)
		switch v := vars[name]; {
		case ok && looksSecret(name, value) || !ok && secretName.MatchString(name) && !plainName.MatchString(name):
			return "${" + name + "}", true
		case ok:
			return value, true
		case v.DefaultValue == "" && v.PresenceValue == "" && !strings.Contains(text, name+":-") && !strings.Contains(text, name+"-"):
			return "${" + name + "}", true
		}
		return "", false
	})
}
