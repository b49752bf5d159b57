package initialize

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/internal/builtins"
)

// secret returns the reference to a secret for a value of a release, which is not written.
// A reference to a manager of secrets is, because it contains no secret.
func (h *helmfile) secret(s *service, at, text string) code {
	name := label(s.name+"-"+at, maxServiceName)
	s.secrets = append(s.secrets, name)
	if strings.HasPrefix(text, "ref+") && !hasSecret(text) && !placeholder.MatchString(text) {
		h.project.supply = append(h.project.supply, "The value of "+name+" was "+quoted(text)+": a file of --secrets can contain that reference.")
	}
	return code(secretText(name, ""))
}

// notSecretKey matches keys of values that name a Secret, or a key in it.
var notSecretKey = regexp.MustCompile(`(?i)^existing|secret_?(name|ref|key_?ref)s?$|(password|token|user(name)?)_?keys?$`)

// valueSecret reports whether a value of a chart seems to be a secret.
func valueSecret(key, text string) bool {
	return hasSecret(text) || strings.HasPrefix(text, "ref+") || looksSecret(key, text) && !notSecretKey.MatchString(key)
}

// encrypted makes references of the values in the files that are encrypted by SOPS, whose
// keys are not encrypted.
func (h *helmfile) encrypted(s *service, list []string) map[string]any {
	values := map[string]any{}
	for _, name := range list {
		file := path.Join(h.base, name)
		data, err := h.text(file)
		docs, wrong := documents(file, data)
		if placeholder.MatchString(name) || err != nil || wrong != nil || len(docs) != 1 || !has(docs, "sops") {
			s.note("secrets %s: encrypted values were not read. Set them in values= with secret(NAME), and pass the values with pipe run --secrets.", quoted(h.shown(name)))
			continue
		}
		var left []string
		for _, key := range slices.Sorted(maps.Keys(docs[0].(map[string]any))) {
			if key == "sops" {
				continue
			}
			if of := h.encryptedIn[key]; of != "" && of != file || !builtins.IsSecretName(key) {
				left = append(left, key)
				continue
			}
			v, ok := h.encryptedValue(key, docs[0].(map[string]any)[key], &left)
			if ok {
				h.encryptedIn[key] = file
				values[key] = v
			}
		}
		if len(left) > 0 {
			s.note("these values of %s were left out: %s. secret(NAME, key = KEY) reads one or two levels, and each NAME from one file. Set them in values=.", quoted(name), all(left))
		}
		if len(values) > 0 {
			text := "Values of " + quoted(file) + " are passed with pipe run --secrets " + quoted(file) + "."
			if !slices.Contains(h.project.supply, text) {
				h.project.supply = append(h.project.supply, text)
			}
		}
	}
	return values
}

// encryptedValue returns a reference for a value, or for each value of a map.
func (h *helmfile) encryptedValue(name string, v any, left *[]string) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		if _, list := v.([]any); list || v == nil {
			*left = append(*left, name)
			return nil, false
		}
		return code(secretText(name, "")), true
	}
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		switch m[key].(type) {
		case map[string]any, []any, nil:
			*left = append(*left, name+"."+key)
			continue
		}
		if !builtins.IsSecretName(key) {
			*left = append(*left, name+"."+key)
			continue
		}
		out[key] = code(secretText(name, key))
	}
	return out, len(out) > 0
}

// environmentName matches a template that is the name of the environment, and installed
// one that compares it.
var (
	environmentName = regexp.MustCompile(`^\{\{-?\s*\.Environment\.Name\s*-?\}\}$`)
	installed       = regexp.MustCompile(`^\{\{-?\s*(eq|ne)\s+\.Environment\.Name\s+"([a-z0-9-]+)"\s*(?:\|\s*toYaml\s*)?-?\}\}$`)
)

// byEnvironment returns an expression for the values files whose name contains that of the
// environment, which are read if they exist. It returns "" for other templates.
func (h *helmfile) byEnvironment(file string) code {
	if strings.ContainsAny(file, `%*?[]{}\`) || !local(file) || strings.HasSuffix(file, ".gotmpl") {
		return ""
	}
	ok, n := true, 0
	text := placeholder.ReplaceAllStringFunc(file, func(p string) string {
		n++
		ok = ok && environmentName.MatchString(h.shown(p))
		return "%s"
	})
	if !ok || n != 1 {
		return ""
	}
	return code(fmt.Sprintf("glob(%s %% environment.name)", str(text)))
}
