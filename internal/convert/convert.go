// Package convert converts Starlark values to Go values, with errors that say what to
// write.
package convert

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
)

// A Setter converts v and stores it in *dst, a pointer to a field.
type Setter func(dst any, v starlark.Value) *explain.Error

var valueType = reflect.TypeFor[starlark.Value]()

// typeNamer is implemented by Unpackers that name the type they accept.
type typeNamer interface{ TypeName() string }

// For returns the Setter of a field of type t, and the name of its type as authors of
// Pipelinefiles know it. All reflection on types happens here, so that calls do none.
func For(t reflect.Type, variadic bool) (Setter, string, error) {
	if variadic {
		if t == reflect.TypeFor[starlark.Tuple]() {
			return func(dst any, v starlark.Value) *explain.Error {
				*dst.(*starlark.Tuple) = v.(starlark.Tuple)
				return nil
			}, "value", nil
		}
		if t.Kind() != reflect.Slice {
			return nil, "", fmt.Errorf("a *parameter is a slice, not %s", t)
		}
		set, name, err := For(t, false)
		return set, strings.TrimSuffix(strings.TrimPrefix(name, "list["), "]"), err
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[starlark.Unpacker]()) {
		name := t.Name()
		if n, ok := reflect.New(t).Interface().(typeNamer); ok {
			name = n.TypeName()
		}
		return func(dst any, v starlark.Value) *explain.Error { return unpack(dst.(starlark.Unpacker), v) }, name, nil
	}
	switch t {
	case reflect.TypeFor[string]():
		return String, "str", nil
	case reflect.TypeFor[int]():
		return Int, "int", nil
	case reflect.TypeFor[bool]():
		return toBool, "bool", nil
	case reflect.TypeFor[float64]():
		return toFloat, "float", nil
	case reflect.TypeFor[[]string]():
		return setStrings, "list[str]", nil
	case reflect.TypeFor[map[string]string]():
		return setStringMap, "dict[str, str]", nil
	case valueType:
		return func(dst any, v starlark.Value) *explain.Error {
			*dst.(*starlark.Value) = v
			return nil
		}, "value", nil
	}
	switch {
	case t.Implements(valueType):
		return valueSetter(t)
	case t.Kind() == reflect.Pointer:
		set, name, err := For(t.Elem(), false)
		return func(dst any, v starlark.Value) *explain.Error {
			field := reflect.ValueOf(dst).Elem()
			field.Set(reflect.New(t.Elem()))
			return set(field.Interface(), v)
		}, name, err
	case t.Kind() == reflect.Slice:
		set, name, err := For(t.Elem(), false)
		return sliceSetter(t, set, name), "list[" + name + "]", err
	}
	return nil, "", fmt.Errorf("unsupported type %s", t)
}

func unpack(dst starlark.Unpacker, v starlark.Value) *explain.Error {
	err := dst.Unpack(v)
	if err == nil {
		return nil
	}
	if p, ok := err.(*explain.Error); ok { //nolint:errorlint // unpackers return it bare
		return p
	}
	return explain.Errorf("%v", err)
}

// strWord matches the name of strings in documentation. type() calls them string, and so
// do messages.
var strWord = regexp.MustCompile(`\bstr\b`)

// An Insteader is one of our values that says what to write where a value of another type
// is wanted. It returns "" if it does not know.
type Insteader interface{ Instead(typ string) string }

// Want returns the error for a value that is not of the wanted type.
func Want(typ string, v starlark.Value) *explain.Error {
	p := explain.Errorf("want %s, got %s", strWord.ReplaceAllString(typ, "string"), v.Type())
	switch v := v.(type) {
	case Insteader:
		p.Hint = v.Instead(typ)
	case starlark.Int, starlark.Float:
		if typ == "str" {
			p.Hint = fmt.Sprintf("write %q", v.String())
		}
		if strings.HasPrefix(typ, "list[") {
			p.Hint = fmt.Sprintf("write [%s]", v)
		}
	case *starlark.Dict, *starlark.List, starlark.Tuple:
		if elem, list := strings.CutPrefix(typ, "list["); list && explain.Example(strings.TrimSuffix(elem, "]")) != "" {
			p.Hint = "write [" + explain.Example(strings.TrimSuffix(elem, "]")) + "]"
		} else if explain.Example(typ) != "" {
			p.Hint = "write " + explain.Example(typ)
		}
	case starlark.String:
		p.Hint = explain.Meant(typ, string(v))
	}
	return p
}

// String converts a string.
func String(dst any, v starlark.Value) *explain.Error {
	s, ok := v.(starlark.String)
	if !ok {
		return Want("str", v)
	}
	*dst.(*string) = string(s)
	return Text(string(s))
}

// Text rejects strings that JSON cannot represent, such as one with part of a character,
// and those with a control character that YAML does not allow: the values of charts are YAML.
func Text(s string) *explain.Error {
	if p := UTF8(s); p != nil {
		return p
	}
	if i := strings.IndexFunc(s, notYAML); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return explain.Errorf("%q has the character %U, which YAML does not allow", explain.Clip(s), r).
			WithHint(`a file in the container can have it: files = {"/path": …}`)
	}
	return nil
}

// UTF8 rejects strings that JSON cannot represent, such as one with part of a character.
func UTF8(s string) *explain.Error {
	if !utf8.ValidString(s) {
		return explain.Errorf("%q is not valid UTF-8", explain.Clip(s))
	}
	return nil
}

// notYAML reports whether a character is a control character that is not allowed in YAML,
// or, in the case of U+0085, a line break. Those below U+0020 are escaped in JSON.
func notYAML(r rune) bool { return 0x7f <= r && r <= 0x9f || r == 0xfffe || r == 0xffff }

// Int converts an integer.
func Int(dst any, v starlark.Value) *explain.Error {
	i, ok := v.(starlark.Int)
	if !ok {
		return Want("int", v)
	}
	n, ok := i.Int64()
	if !ok || n > math.MaxInt32 || n < math.MinInt32 {
		return explain.Errorf("%s is too large", explain.Clip(i.String()))
	}
	*dst.(*int) = int(n)
	return nil
}

func toBool(dst any, v starlark.Value) *explain.Error {
	b, ok := v.(starlark.Bool)
	if !ok {
		return Want("bool", v).WithHint("write True or False")
	}
	*dst.(*bool) = bool(b)
	return nil
}

func toFloat(dst any, v starlark.Value) *explain.Error {
	f, ok := starlark.AsFloat(v)
	if !ok {
		return Want("float", v)
	}
	*dst.(*float64) = f
	return nil
}

func setStrings(dst any, v starlark.Value) *explain.Error {
	out, p := List(v, "list[str]")
	if p != nil {
		return p
	}
	list := make([]string, len(out))
	for i, e := range out {
		if p := String(&list[i], e); p != nil {
			return p.In(i)
		}
	}
	*dst.(*[]string) = list
	return nil
}

func setStringMap(dst any, v starlark.Value) *explain.Error {
	m := map[string]string{}
	p := Entries(v, "dict[str, str]", func(k string, v starlark.Value) *explain.Error {
		s, p := Scalar(v)
		m[k] = s
		return p
	})
	*dst.(*map[string]string) = m
	return p
}

// Scalar returns a string, int, bool or float as a string.
func Scalar(v starlark.Value) (string, *explain.Error) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), Text(string(v))
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
	return "", Want("str", v)
}

// List returns the elements of a list, tuple or other sequence that is not a string.
func List(v starlark.Value, typ string) ([]starlark.Value, *explain.Error) {
	switch v := v.(type) {
	case starlark.Tuple:
		return v, nil
	case *starlark.Dict:
		return nil, Want(typ, v)
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
	return nil, Want(typ, v)
}

// Entries calls one for each entry of a dict with string keys, in its order.
func Entries(v starlark.Value, typ string, one func(string, starlark.Value) *explain.Error) *explain.Error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return Want(typ, v)
	}
	for k, v := range d.Entries() {
		key, ok := k.(starlark.String)
		if !ok {
			return explain.Errorf("key %s: want string, got %s", explain.Clip(k.String()), k.Type())
		}
		if p := Text(string(key)); p != nil {
			return p
		}
		if p := one(string(key), v); p != nil {
			return p.In(string(key))
		}
	}
	return nil
}

func sliceSetter(t reflect.Type, set Setter, name string) Setter {
	return func(dst any, v starlark.Value) *explain.Error {
		list, p := List(v, "list["+name+"]")
		if p != nil || len(list) == 0 {
			return p
		}
		out := reflect.MakeSlice(t, len(list), len(list))
		for i, e := range list {
			if p := set(out.Index(i).Addr().Interface(), e); p != nil {
				return p.In(i)
			}
		}
		reflect.ValueOf(dst).Elem().Set(out)
		return nil
	}
}

// valueSetter returns the setter for a field of a Starlark value type, such as *Stage.
func valueSetter(t reflect.Type) (Setter, string, error) {
	name := nameOf(t)
	return func(dst any, v starlark.Value) *explain.Error {
		if !reflect.TypeOf(v).AssignableTo(t) {
			return Want(name, v)
		}
		reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(v))
		return nil
	}, name, nil
}

// nameOf returns the name of the type t, as type() returns it.
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
