package builtins

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// A problem is what is wrong with an argument.
type problem struct {
	msg  string
	hint string
	// suggest is what was probably meant instead of what is at the position.
	suggest string
	at      any // where in the argument: an index of a list, a key of a dict, or nil
}

func problemf(format string, args ...any) *problem {
	return &problem{msg: fmt.Sprintf(format, args...)}
}

// in returns p, if any, as a problem of the element at of an argument.
func (p *problem) in(at any) *problem {
	if p != nil {
		p.at = at
	}
	return p
}

func (p *problem) hinted(format string, args ...any) *problem {
	p.hint = fmt.Sprintf(format, args...)
	return p
}

// near suggests the candidate that name is probably a misspelling of; the hint is
// other if there is none.
func (p *problem) near(name string, candidates []string, other string) *problem {
	p.hint, p.suggest = other, nearest(name, candidates)
	return p
}

// A setter converts v and stores it in *dst, a pointer to a field.
type setter func(dst any, v starlark.Value) *problem

var valueType = reflect.TypeFor[starlark.Value]()

// typeNamer is implemented by Unpackers that name what they accept.
type typeNamer interface{ typeName() string }

// setterFor returns the setter of a field of type t, and the name of its type
// as a Pipelinefile's author knows it. All reflection on types is here, so that a call
// does none.
func setterFor(t reflect.Type, p Param) (setter, string, error) {
	if p.Variadic {
		if t == reflect.TypeFor[starlark.Tuple]() {
			return func(dst any, v starlark.Value) *problem {
				*dst.(*starlark.Tuple) = v.(starlark.Tuple)
				return nil
			}, "value", nil
		}
		if t.Kind() != reflect.Slice {
			return nil, "", fmt.Errorf("a *parameter is a slice, not %s", t)
		}
		set, name, err := setterFor(t, Param{})
		return set, strings.TrimSuffix(strings.TrimPrefix(name, "list["), "]"), err
	}
	if p, ok := reflect.New(t).Interface().(starlark.Unpacker); ok {
		name := t.Name()
		if n, ok := p.(typeNamer); ok {
			name = n.typeName()
		}
		return func(dst any, v starlark.Value) *problem { return unpack(dst.(starlark.Unpacker), v) }, name, nil
	}
	switch t {
	case reflect.TypeFor[string]():
		return setString, "str", nil
	case reflect.TypeFor[int]():
		return setInt, "int", nil
	case reflect.TypeFor[bool]():
		return setBool, "bool", nil
	case reflect.TypeFor[float64]():
		return setFloat, "float", nil
	case reflect.TypeFor[[]string]():
		return setStrings, "list[str]", nil
	case reflect.TypeFor[map[string]string]():
		return setStringMap, "dict[str, str]", nil
	case valueType:
		return func(dst any, v starlark.Value) *problem {
			*dst.(*starlark.Value) = v
			return nil
		}, "value", nil
	}
	switch {
	case t.Implements(valueType):
		return valueSetter(t)
	case t.Kind() == reflect.Pointer:
		set, name, err := setterFor(t.Elem(), Param{})
		return func(dst any, v starlark.Value) *problem {
			field := reflect.ValueOf(dst).Elem()
			field.Set(reflect.New(t.Elem()))
			return set(field.Interface(), v)
		}, name, err
	case t.Kind() == reflect.Slice:
		set, name, err := setterFor(t.Elem(), Param{})
		return sliceSetter(t, set, name), "list[" + name + "]", err
	}
	return nil, "", fmt.Errorf("unsupported type %s", t)
}

func unpack(dst starlark.Unpacker, v starlark.Value) *problem {
	err := dst.Unpack(v)
	if err == nil {
		return nil
	}
	if p, ok := err.(*problem); ok { //nolint:errorlint // our own unpackers return it bare
		return p
	}
	return problemf("%v", err)
}

// Error makes a problem an error, for Unpack.
func (p *problem) Error() string { return p.msg }

// strWord is what documents call text; to type(), and so in messages, it is string.
var strWord = regexp.MustCompile(`\bstr\b`)

func want(typ string, v starlark.Value) *problem {
	p := problemf("want %s, got %s", strWord.ReplaceAllString(typ, "string"), v.Type())
	switch v := v.(type) {
	case *Secret:
		p.hint = secretHint
	case *Image:
		p.hint = "an image can only be the image= of a service"
	case *Service:
		if typ == "str" {
			p.hint = fmt.Sprintf("a service is not text; its attributes are: such as %s.host", v.Plan.Name)
		}
	case starlark.Int, starlark.Float:
		if typ == "str" {
			p.hint = fmt.Sprintf("write %q", v.String())
		}
		if strings.HasPrefix(typ, "list[") {
			p.hint = fmt.Sprintf("write [%s]", v)
		}
	case *starlark.Dict, *starlark.List, starlark.Tuple:
		if elem, list := strings.CutPrefix(typ, "list["); list && examples[strings.TrimSuffix(elem, "]")] != "" {
			p.hint = "write [" + examples[strings.TrimSuffix(elem, "]")] + "]"
		} else if examples[typ] != "" {
			p.hint = "write " + examples[typ]
		}
	case starlark.String:
		p.hint = meant(typ, string(v))
	}
	return p
}

// examples are values of the types that other tools write as lists and dicts.
var examples = map[string]string{
	"port": "port(8080)", "port | int": "port(8080)", "volume": `volume("/data", size = "10Gi")`, "sync": `sync("src", "/app/src")`,
	"resources": `resources(cpu = "500m", memory = "256Mi")`, "health": `http("/healthz"), tcp() or command("program")`,
	"build": `dockerfile(file = "Dockerfile")`, "source": `local("directory")`, "chart": `chart("directory")`,
	"str or image": `"name:tag"`, "dict[str, str]": `{"name": "value"}`, "dict": `{"key": "value"}`,
}

// meant returns what to write for text where a value of another type belongs.
func meant(typ, text string) string {
	switch {
	case len(text) > 100:
	case typ == "dict" && strings.HasSuffix(text, "aml"):
		return fmt.Sprintf("write read_yaml(%q)", text)
	case typ == "list[str]":
		return "write [" + literals(words(text)) + "]"
	case strings.HasPrefix(typ, "list["):
		return fmt.Sprintf("write [%q]", text)
	case typ == "source" && gitURL.MatchString(text):
		return fmt.Sprintf("write git(%q)", text)
	case typ == "source":
		return fmt.Sprintf("write local(%q)", text)
	case typ == "chart":
		return fmt.Sprintf("write chart(%q)", text)
	case typ == "build":
		return fmt.Sprintf("write dockerfile(file = %q)", text)
	case typ == "health" && strings.HasPrefix(text, "/"):
		return fmt.Sprintf("write http(%q)", text)
	case typ == "volume" && strings.Contains(text, ":"):
		return mounted(text)
	case typ == "sync" && strings.Contains(text, ":"):
		from, to, _ := strings.Cut(text, ":")
		return fmt.Sprintf("write sync(%q, %q)", from, to)
	case typ == "port" && published.MatchString(text):
		return publishes(text)
	case typ == "volume" && strings.HasPrefix(text, "/"):
		return fmt.Sprintf(`write volume(%q, size = "10Gi")`, text)
	case typ == "int" && intText.MatchString(text):
		return "write " + text + " without quotes"
	case typ == "port" && intText.MatchString(text):
		return "write " + text + " without quotes"
	}
	return ""
}

// published is a port as Compose publishes it: of the host and of the container.
var published = regexp.MustCompile(`^(?:(?:[0-9.]{7,15}:)?([0-9]{1,5})?:)?([0-9]{1,5})(/tcp|/udp)?$`)

// publishes returns what to write for a port as Compose has it.
func publishes(text string) string {
	m := published.FindStringSubmatch(text)
	if m[3] == "/udp" { // which nothing forwards
		return "write port(" + m[2] + `, protocol = "UDP")`
	}
	if m[1] == "" {
		return "write port(" + m[2] + ")"
	}
	return fmt.Sprintf("write port(%s, local = %s): the container listens on %s, and pipe forward opens it at %s of this machine; port(%s, public = True) makes an Ingress", m[2], m[1], m[2], m[1], m[2])
}

// mounted returns what to write for a volume as Compose mounts it.
func mounted(text string) string {
	source, rest, _ := strings.Cut(text, ":")
	target, _, _ := strings.Cut(rest, ":")
	if source == "" || strings.ContainsAny(source[:1], "./~$") {
		return fmt.Sprintf(`nothing of this machine is mounted: COPY %s in the Dockerfile, which sync= keeps up to date in watch mode, or write volume(%q, size = "10Gi") for storage that starts empty and stays`, source, target)
	}
	return fmt.Sprintf(`write volume(%q, name = %q, size = "10Gi")`, target, source)
}

// words returns a line of a shell as a program and its arguments.
func words(line string) []string {
	if strings.ContainsAny(line, `'"|&;<>$`) {
		return []string{"sh", "-c", line}
	}
	return strings.Fields(line)
}

// literals returns the texts as a Pipelinefile has them, with commas between.
func literals(texts []string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strconv.Quote(t)
	}
	return strings.Join(out, ", ")
}

var intText = regexp.MustCompile(`^[0-9]{1,9}$`)

func setString(dst any, v starlark.Value) *problem {
	s, ok := v.(starlark.String)
	if !ok {
		return want("str", v)
	}
	*dst.(*string) = string(s)
	return checkText(string(s))
}

// checkText refuses what JSON cannot say, as a piece of a character would be.
func checkText(s string) *problem {
	if !utf8.ValidString(s) {
		return problemf("%q is no text in UTF-8", clip(s))
	}
	return nil
}

func setInt(dst any, v starlark.Value) *problem {
	i, ok := v.(starlark.Int)
	if !ok {
		return want("int", v)
	}
	n, ok := i.Int64()
	if !ok || n > math.MaxInt32 || n < math.MinInt32 {
		return problemf("%s is too large", clip(i.String()))
	}
	*dst.(*int) = int(n)
	return nil
}

func setBool(dst any, v starlark.Value) *problem {
	b, ok := v.(starlark.Bool)
	if !ok {
		return want("bool", v).hinted("write True or False")
	}
	*dst.(*bool) = bool(b)
	return nil
}

func setFloat(dst any, v starlark.Value) *problem {
	f, ok := starlark.AsFloat(v)
	if !ok {
		return want("float", v)
	}
	*dst.(*float64) = f
	return nil
}

func setStrings(dst any, v starlark.Value) *problem {
	out, p := listOf(v, "list[str]")
	if p != nil {
		return p
	}
	list := make([]string, len(out))
	for i, e := range out {
		if p := setString(&list[i], e); p != nil {
			return p.in(i)
		}
	}
	*dst.(*[]string) = list
	return nil
}

func setStringMap(dst any, v starlark.Value) *problem {
	m := map[string]string{}
	p := eachItem(v, "dict[str, str]", func(k string, v starlark.Value) *problem {
		s, p := scalar(v)
		m[k] = s
		return p
	})
	*dst.(*map[string]string) = m
	return p
}

// scalar returns the text of a str, int, bool or float.
func scalar(v starlark.Value) (string, *problem) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), checkText(string(v))
	case starlark.Bool:
		if v {
			return "true", nil
		}
		return "false", nil
	case starlark.Int:
		return v.String(), nil
	case starlark.Float:
		return v.String(), nil
	}
	return "", want("str", v)
}

// listOf returns the elements of a list, tuple or other sequence that is no text.
func listOf(v starlark.Value, typ string) ([]starlark.Value, *problem) {
	switch v := v.(type) {
	case starlark.Tuple:
		return v, nil
	case *starlark.Dict:
		return nil, want(typ, v)
	case starlark.Sequence:
		out := make([]starlark.Value, 0, v.Len())
		it := v.Iterate()
		defer it.Done()
		var e starlark.Value
		for it.Next(&e) {
			out = append(out, e)
		}
		return out, nil
	}
	return nil, want(typ, v)
}

// eachItem calls one for each entry of a dict with text as keys, in its order.
func eachItem(v starlark.Value, typ string, one func(string, starlark.Value) *problem) *problem {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return want(typ, v)
	}
	for k, v := range d.Entries() {
		key, ok := k.(starlark.String)
		if !ok {
			return problemf("key %s: want string, got %s", clip(k.String()), k.Type())
		}
		if p := checkText(string(key)); p != nil {
			return p
		}
		if p := one(string(key), v); p != nil {
			return p.in(string(key))
		}
	}
	return nil
}

func sliceSetter(t reflect.Type, set setter, name string) setter {
	return func(dst any, v starlark.Value) *problem {
		list, p := listOf(v, "list["+name+"]")
		if p != nil || len(list) == 0 {
			return p
		}
		out := reflect.MakeSlice(t, len(list), len(list))
		for i, e := range list {
			if p := set(out.Index(i).Addr().Interface(), e); p != nil {
				return p.in(i)
			}
		}
		reflect.ValueOf(dst).Elem().Set(out)
		return nil
	}
}

// valueSetter is for a field of a type of Starlark values, such as *Stage.
func valueSetter(t reflect.Type) (setter, string, error) {
	name := nameOf(t)
	return func(dst any, v starlark.Value) *problem {
		if !reflect.TypeOf(v).AssignableTo(t) {
			return want(name, v)
		}
		reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(v))
		return nil
	}, name, nil
}

// nameOf returns what type() says of values of type t.
func nameOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		if v, ok := reflect.New(t.Elem()).Interface().(starlark.Value); ok {
			return v.Type()
		}
	}
	if t.Kind() == reflect.Interface {
		return "callable"
	}
	return reflect.Zero(t).Interface().(starlark.Value).Type()
}

// clip shortens s for a message.
func clip(s string) string {
	const most = 60
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
