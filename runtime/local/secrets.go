package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
)

// Secrets are sources of secret values. The first source that has a secret takes
// precedence (D4). Errors never contain a value.
type Secrets []*Source

var _ runtime.Secrets = (Secrets)(nil)

// A SourceError is the failure of a source of secrets, which keeps a run from starting.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// Secret implements [runtime.Secrets]. The error is a *[SourceError] if a source fails.
func (s Secrets) Secret(_ context.Context, ref plan.SecretRef) (runtime.Secret, error) {
	for _, source := range s {
		value, err := source.find(ref)
		if err == nil {
			value, err = source.fetched(value)
		}
		if err == nil {
			return runtime.NewSecret(value), nil
		}
		if errors.Is(err, errUnfetched) {
			return runtime.Secret{}, &SourceError{fmt.Errorf("secret %s in %s: %w", refName(ref), source.name, err)}
		}
		if !errors.Is(err, runtime.ErrNotFound) {
			return runtime.Secret{}, &SourceError{err}
		}
	}
	return runtime.Secret{}, fmt.Errorf("secret %s: %w in %s", refName(ref), runtime.ErrNotFound, s)
}

// String names the sources.
func (s Secrets) String() string {
	names := make([]string, len(s))
	for i, source := range s {
		names[i] = source.name
	}
	return strings.Join(names, ", ")
}

// A Source is one source of secret values.
type Source struct {
	name    string
	secrets map[string]map[string]string // by name and key; a secret with a single value has the key ""
	vars    bool                         // names are variable names

	// For values that managers of secrets have; see references.go.
	literal   bool              // no value is a reference
	ext, dir  string            // the extension of the file, and its directory
	encrypted *encrypted        // by SOPS; nil: the values are plain
	values    map[string]string // that were fetched, by their reference
}

// find returns the value of ref as it is written in the source, or ErrNotFound.
func (s *Source) find(ref plan.SecretRef) (string, error) {
	if s.vars {
		name := ref.Name
		if ref.Key != "" {
			name += "_" + ref.Key
		}
		if keys, ok := s.secrets[variable(name)]; ok {
			return keys[""], nil
		}
		return "", runtime.ErrNotFound
	}
	keys, ok := s.secrets[ref.Name]
	if !ok {
		return "", runtime.ErrNotFound
	}
	if value, ok := keys[ref.Key]; ok {
		return value, nil
	}
	switch {
	case ref.Key != "":
		return "", fmt.Errorf("secret %s in %s has no key %q; it has %s", ref.Name, s.name, ref.Key, keyNames(keys))
	case len(keys) == 1:
		for _, value := range keys {
			return value, nil
		}
	}
	return "", fmt.Errorf("secret %s in %s has several keys (%s): name one with secret(%q, key=…)", ref.Name, s.name, keyNames(keys), ref.Name)
}

// names lists the keys of a map in order.
func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

func keyNames(keys map[string]string) string {
	names := slices.Sorted(maps.Keys(keys))
	for i, n := range names {
		if n == "" {
			names[i] = "a value without a key"
		}
	}
	return strings.Join(names, ", ")
}

func refName(ref plan.SecretRef) string {
	if ref.Key == "" {
		return ref.Name
	}
	return ref.Name + "/" + ref.Key
}

// variable returns name as a variable name: upper-case letters, digits and underscores.
func variable(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, name)
}

// EnvSecrets reads secrets from environment variables: secret("db-url")
// is PREFIXDB_URL, and so is secret("db", key="url").
func EnvSecrets(prefix string, environ []string) *Source {
	s := &Source{name: "the environment", secrets: map[string]map[string]string{}, vars: true, literal: true}
	if prefix != "" {
		s.name = "the variables " + prefix + "*"
	}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if name, ok := strings.CutPrefix(name, prefix); ok && name != "" {
			s.secrets[name] = map[string]string{"": value}
		}
	}
	return s
}

// FileSecrets reads secrets from a file: YAML or JSON (by its extension, or, for a file
// without one, such as /dev/stdin, by its content), in which a
// secret is a value or a map of keys to values, or lines NAME=value, in which a
// name may also be a variable name. A value may be a reference to one that a manager of
// secrets has, and the file may be encrypted by SOPS (D30): [Open] fetches and decrypts.
func FileSecrets(file string) (*Source, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return readSecrets(file, strings.ToLower(filepath.Ext(file)), filepath.Dir(file), data)
}

// ReadSecrets reads secrets from data, as [FileSecrets] does from a file without an
// extension. The name is used in messages.
func ReadSecrets(name string, data []byte) (*Source, error) { return readSecrets(name, "", "", data) }

func readSecrets(name, ext, dir string, data []byte) (*Source, error) {
	s := &Source{name: name, ext: ext, dir: dir, secrets: make(map[string]map[string]string)}
	if err := s.read(ext, data); err != nil {
		return nil, err
	}
	return s, nil
}

// read reads the values. Those of a file that is encrypted by SOPS are read again when it is decrypted.
func (s *Source) read(ext string, data []byte) (err error) {
	switch {
	case ext == ".yaml", ext == ".yml", ext == ".json", ext == "" && isYAML(data):
		err = s.readYAML(ext, data)
	default:
		if s.vars, err = true, s.readLines(data); err == nil {
			s.findSOPS(data)
		}
	}
	if err != nil {
		return err
	}
	return s.checkReferences()
}

// isYAML reports whether data is a map in YAML or JSON rather than lines NAME=value. It
// decides by the first line that is not empty or a comment.
func isYAML(data []byte) bool {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || bytes.Equal(line, []byte("---")) {
			continue
		}
		name, _, isLine := bytes.Cut(bytes.TrimPrefix(line, []byte("export ")), []byte("="))
		return line[0] == '{' || !isLine && bytes.ContainsRune(line, ':') || isLine && bytes.ContainsRune(name, ':')
	}
	return false
}

// readYAML reads a map. Errors of the parser are not shown because they may
// quote the file.
func (s *Source) readYAML(ext string, data []byte) error {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil {
		return errors.New("it is not valid YAML")
	}
	if len(doc.Content) == 0 { // an empty file
		return nil
	}
	top := map[string]yaml.Node{}
	if doc.Content[0].Kind != yaml.MappingNode {
		return errors.New("it must contain a map from names of secrets to values, or to maps from keys to values")
	}
	if doc.Decode(&top) != nil {
		return errors.New("it is not valid YAML: duplicate name")
	}
	if n, ok := top["sops"]; ok && isSOPS(&n) {
		s.encrypted = &encrypted{data, "yaml"}
		if ext == ".json" {
			s.encrypted.format = "json"
		}
		delete(top, "sops")
	}
	for name, n := range top {
		n := target(&n)
		if value, ok := scalar(n); ok {
			s.secrets[name] = map[string]string{"": value}
			continue
		}
		inner := map[string]yaml.Node{}
		if n.Kind != yaml.MappingNode || n.Decode(&inner) != nil {
			return fmt.Errorf("secret %s must be a value, or a map from keys to values", name)
		}
		s.secrets[name] = map[string]string{}
		for key, n := range inner {
			value, ok := scalar(target(&n))
			if !ok {
				return fmt.Errorf("key %s of secret %s must be a value", key, name)
			}
			s.secrets[name][key] = value
		}
	}
	return nil
}

// target returns the target of an alias; otherwise n.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// scalar returns a value as it is written, so that 0123 and 1.10 are not converted.
func scalar(n *yaml.Node) (string, bool) {
	return n.Value, n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null"
}

// readLines reads lines of the form NAME=value. A value may be quoted: "…" with
// the escapes of Go, or '…' as it is.
func (s *Source) readLines(data []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !ok {
			return fmt.Errorf("line %d is not NAME=value", n)
		}
		value, err := unquote(strings.TrimSpace(value))
		if err != nil {
			return fmt.Errorf("line %d: the quotes do not match", n)
		}
		s.secrets[variable(strings.TrimSpace(name))] = map[string]string{"": value}
	}
	return lines.Err()
}

func unquote(value string) (string, error) {
	switch {
	case strings.HasPrefix(value, `"`):
		return strconv.Unquote(value)
	case strings.HasPrefix(value, "'"):
		if len(value) < 2 || !strings.HasSuffix(value, "'") {
			return "", strconv.ErrSyntax
		}
		return value[1 : len(value)-1], nil
	}
	return value, nil
}
