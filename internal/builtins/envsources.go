package builtins

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// An EnvSource is the value of field() and config_map().
type EnvSource struct {
	opaque
	plan plan.EnvSource
}

// String returns the call that makes it.
func (s *EnvSource) String() string {
	if s.plan.Config != nil {
		return fmt.Sprintf("config_map(%q, key = %q)", s.plan.Config.Name, s.plan.Config.Key)
	}
	return "field(" + strconv.Quote(s.plan.Field) + ")"
}

// Type returns "variable".
func (s *EnvSource) Type() string { return "variable" }

// Instead says where it can be used.
func (s *EnvSource) Instead(string) string {
	return "its value is only known in the pod: pass it on its own, as env = {\"NAME\": it}"
}

type fieldArgs struct {
	Path string `arg:"path" help:"the field, such as \"status.podIP\", \"metadata.labels['app']\" or \"limits.memory\""`
}

// podFields are the fields that a variable can have, and those of the resources.
var podFields = []string{
	"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	"limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
}

// Field reports whether a variable can have the field: one of podFields, or a label or an
// annotation of the pod, such as "metadata.labels['app']".
func Field(path string) bool {
	of, key, _ := strings.Cut(path, "['")
	key, closed := strings.CutSuffix(key, "']")
	return slices.Contains(podFields, path) || closed && (of == "metadata.labels" || of == "metadata.annotations") && validKey(key)
}

var fieldFunc = declare("field", "variable", "Refers to a field of the pod, or to a request or limit of the container, for a variable in `env=`.",
	func(c *Call, a *fieldArgs) (starlark.Value, error) {
		if c.Valid("path") && !Field(a.Path) {
			c.wrong("path", explain.Errorf("a variable cannot have the field %q", explain.Clip(a.Path)).
				Near(a.Path, podFields, "it can have "+strings.Join(podFields, ", ")+", metadata.labels['NAME'] and metadata.annotations['NAME']"))
		}
		return &EnvSource{plan: plan.EnvSource{Field: a.Path}}, nil
	})

type configMapArgs struct {
	Name string `arg:"name" help:"the name of a ConfigMap in the namespace, which something else creates"`
	Key  string `arg:"key,kw" help:"the key in it"`
}

var configMapFunc = declare("config_map", "variable", "Refers to a key of a ConfigMap that exists, for a variable in `env=`. Values that the Pipelinefile knows are written in `env=` itself.",
	func(c *Call, a *configMapArgs) (starlark.Value, error) {
		if c.Valid("name") {
			c.wrong("name", checkClaimName(a.Name, "a ConfigMap"))
		}
		if c.Valid("key") && !secretName.fits(a.Key) {
			c.wrong("key", explain.Errorf("%q is not a key of a ConfigMap", explain.Clip(a.Key)))
		}
		return &EnvSource{plan: plan.EnvSource{Config: &plan.ConfigKey{Name: a.Name, Key: a.Key}}}, nil
	})

var readEnvFunc = reader("read_env", "dict[str, str]", "Returns the variables of a file with lines NAME=VALUE, such as `.env`, in their order. Values can be in quotes; `$` has no meaning.",
	func(c *Call, data []byte) (starlark.Value, error) {
		if err := c.Session.Meter.Charge(parseSize * uint64(len(data))); err != nil {
			return nil, err
		}
		if !utf8.Valid(data) {
			return nil, errors.New("it is not valid UTF-8")
		}
		d := starlark.NewDict(0)
		err := EachEnv(data, func(name, value string) error {
			if err := c.Session.Meter.Charge(bounded.EntrySize); err != nil {
				return err
			}
			return d.SetKey(starlark.String(name), starlark.String(value))
		})
		if err != nil {
			return nil, err
		}
		return d, nil
	})

// EachEnv calls one for each variable of a file that read_env() reads.
func EachEnv(data []byte, one func(name, value string) error) error {
	return eachEnvLine(strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n"), one)
}

// eachEnvLine calls one for each variable of a file with lines NAME=VALUE. A value in quotes
// can have several lines; in double quotes, \n, \r, \t, \", \\ and \$ are escapes.
func eachEnvLine(text string, one func(name, value string) error) error {
	envLine := regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*`)
	comment := regexp.MustCompile(`[ \t]#.*`) // at the end of a line
	number := 0
	for text != "" {
		number++
		line, rest, _ := strings.Cut(text, "\n")
		start := strings.TrimLeft(line, " \t")
		if start == "" || start[0] == '#' {
			text = rest
			continue
		}
		m := envLine.FindStringSubmatch(start)
		if m == nil {
			return fmt.Errorf("line %d is not NAME=VALUE", number)
		}
		value := start[len(m[0]):]
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			all := text[len(line)-len(value):]
			quoted, after, ok := unquoteEnv(all)
			if !ok {
				return fmt.Errorf("line %d: the value of %s has no closing quote", number, m[1])
			}
			tail, next, _ := strings.Cut(after, "\n")
			if tail = strings.TrimSpace(tail); tail != "" && tail[0] != '#' {
				return fmt.Errorf("line %d: there is text after the closing quote of %s", number, m[1])
			}
			number += strings.Count(all[:len(all)-len(after)], "\n")
			value, rest = quoted, next
		} else {
			// As in a shell, a comment begins after a space: a color such as #fff is a value.
			value = strings.TrimSpace(comment.ReplaceAllString(start[strings.IndexByte(start, '=')+1:], ""))
		}
		if err := one(m[1], value); err != nil {
			return err
		}
		text = rest
	}
	return nil
}

// unquoteEnv returns the value of the quoted string that text begins with, and what follows
// it.
func unquoteEnv(text string) (value, after string, ok bool) {
	var b strings.Builder
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == quote:
			return b.String(), text[i+1:], true
		case ch == '\\' && quote == '"' && i+1 < len(text):
			i++
			switch text[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '"', '\\', '$':
				b.WriteByte(text[i])
			default:
				b.WriteByte('\\')
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(ch)
		}
	}
	return "", "", false
}
