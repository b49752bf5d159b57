// Package kubepatch compiles patches of the objects of generated charts: it checks them against
// the fields of the kinds of Kubernetes, and returns them in a form that the templates of the
// charts can carry out.
package kubepatch

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// An Op is one change of an object, in a form that templates can carry out. The path
// has keys of maps as strings, and elements of lists as an [Elem].
type Op struct {
	Path   []any `json:"path"`
	Value  any   `json:"value,omitempty"`
	Keep   bool  `json:"keep,omitempty"` // a value that exists stays
	Delete bool  `json:"delete,omitempty"`
	Insert bool  `json:"insert,omitempty"` // before the element at the end of the path
	Must   bool  `json:"must,omitempty"`   // it is an error if the path does not exist
	Test   bool  `json:"test,omitempty"`   // it is an error if the value is another one
}

// An Elem is an element of a list: that with a value of a key, that at an index, or the
// one after the last.
type Elem struct {
	Key   string `json:"key,omitempty"`
	Value any    `json:"value,omitempty"`
	Index *int   `json:"index,omitempty"`
	End   bool   `json:"end,omitempty"`
}

// The fields that identify an object, and those that are not the chart's; and the fields by
// which a workload finds its pods.
var (
	fixedFields = []string{"apiVersion", "kind", "status", "metadata.name", "metadata.namespace", "metadata.generateName", "metadata.resourceVersion", "metadata.uid"}
	podFields   = []string{
		"spec.selector", "spec.template.metadata.labels.app.kubernetes.io/name", "spec.template.metadata.labels.app.kubernetes.io/instance",
	}
)

// fixed returns the fixed field of an object of a kind that is at a path, below it or above
// it; empty: none.
func fixed(kind string, path []any) string {
	at := dotted(path)
	in := func(fields []string) string {
		i := slices.IndexFunc(fields, func(f string) bool { return f == at || strings.HasPrefix(f, at+".") || strings.HasPrefix(at, f+".") })
		if at == "" || i < 0 {
			return ""
		}
		return fields[i]
	}
	if f := in(fixedFields); f != "" || kind != "Deployment" && kind != "StatefulSet" && kind != "DaemonSet" {
		return f
	}
	return in(podFields)
}

// Compile compiles a patch for templates, and returns its first errors, with their places in
// its Merge or JSON.
func Compile(p plan.Patch) ([]Op, []chartspec.Problem) {
	if p.JSON != nil {
		return compileJSON(p.Kind, p.JSON)
	}
	return compileMerge(p.Kind, p.Merge)
}

// compileMerge compiles a strategic merge patch of an object of a kind, and returns its first
// errors. A value of None deletes a field. The elements of lists that Kubernetes merges by a
// key are merged; new ones are added at the end.
func compileMerge(kind string, patch map[string]any) ([]Op, []chartspec.Problem) {
	m := merger{kind: kind}
	m.object(nil, nil, form(kind), patch)
	return m.ops, m.found
}

type merger struct {
	kind  string
	ops   []Op
	found []chartspec.Problem
}

func (m *merger) wrong(at []any, format string, args ...any) {
	m.found = append(m.found, chartspec.Problem{Path: slices.Clone(at), Message: fmt.Sprintf(format, args...)})
}

// object merges a patch of an object. at is the place in the patch, path in the object.
func (m *merger) object(at, path []any, of form, patch map[string]any) {
	elem, isDict := of.dict()
	fields := of.fields()
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		at, path := append(slices.Clone(at), name), append(slices.Clone(path), name)
		next := elem
		switch i := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); {
		case len(m.found) >= chartspec.MaxProblems:
			return
		case strings.HasPrefix(name, "$"):
			m.wrong(at, "%s is not possible here: write None to delete a field, or json = […]", name)
			continue
		case isDict:
		case i < 0:
			m.found = append(m.found, chartspec.Problem{Path: at, Message: "it has no such field", Unknown: true, Known: names(fields)})
			continue
		default:
			next = fields[i].form
		}
		m.value(at, path, next, patch[name])
	}
}

func (m *merger) value(at, path []any, of form, v any) {
	_, isDict := of.dict()
	if dict, ok := v.(map[string]any); ok && (isDict || of.fields() != nil) && len(dict) > 0 {
		m.object(at, path, of, dict)
		return
	}
	if dict, ok := v.(map[string]any); ok && len(dict) == 0 { // such as emptyDir: nothing is merged into what exists
		if m.found = append(m.found, conforms(at, of, v)...); len(m.found) == 0 {
			m.ops = append(m.ops, Op{Path: path, Value: v, Keep: true})
		}
		return
	}
	if f := fixed(m.kind, path); f != "" {
		if found := conforms(at, of, v); v != nil && len(found) > 0 {
			m.found = append(m.found, found...)
			return
		}
		m.wrong(at, "a patch cannot change %s", f)
		return
	}
	if v == nil {
		m.ops = append(m.ops, Op{Path: path, Delete: true})
		return
	}
	if elem, key, ok := of.list(); ok && key != "" {
		list, isList := v.([]any)
		if !isList {
			m.wrong(at, "want list, got %s", chartspec.TypeOf(v))
			return
		}
		if len(list) == 0 {
			m.wrong(at, "an empty list changes nothing: its elements are merged by %s; write None to delete the list", key)
		}
		for i, e := range list {
			m.element(append(slices.Clone(at), i), path, elem, key, e)
		}
		return
	}
	if m.found = append(m.found, conforms(at, of, v)...); len(m.found) == 0 {
		m.ops = append(m.ops, Op{Path: path, Value: v})
	}
}

// element merges an element of a list.
func (m *merger) element(at, path []any, of form, key string, v any) {
	dict, ok := v.(map[string]any)
	if !ok {
		m.wrong(at, "want dict, got %s", chartspec.TypeOf(v))
		return
	}
	id, has := dict[key]
	if !has {
		m.wrong(at, "%s is missing, by which the elements of this list are merged", key)
		return
	}
	path = append(slices.Clone(path), Elem{Key: key, Value: id})
	if dict["$patch"] == "delete" {
		m.ops = append(m.ops, Op{Path: path, Delete: true})
		return
	}
	rest := maps.Clone(dict)
	delete(rest, key)
	m.found = append(m.found, conforms(append(slices.Clone(at), key), fieldOf(of, key), id)...)
	m.ops = append(m.ops, Op{Path: append(slices.Clone(path), key), Value: id})
	m.object(at, path, of, rest)
}

// conforms returns the errors of a value that is set as a whole.
func conforms(at []any, of form, v any) []chartspec.Problem {
	wrong := func(want string) []chartspec.Problem {
		return []chartspec.Problem{{Path: slices.Clone(at), Message: fmt.Sprintf("want %s, got %s", want, chartspec.TypeOf(v))}}
	}
	if elem, _, ok := of.list(); ok {
		list, ok := v.([]any)
		if !ok {
			return wrong("list")
		}
		var found []chartspec.Problem
		for i, e := range list {
			found = append(found, conforms(append(slices.Clone(at), i), elem, e)...)
		}
		return found
	}
	elem, isDict := of.dict()
	fields := of.fields()
	if isDict || fields != nil {
		dict, ok := v.(map[string]any)
		if !ok {
			return wrong("dict")
		}
		var found []chartspec.Problem
		for _, name := range slices.Sorted(maps.Keys(dict)) {
			at := append(slices.Clone(at), name)
			next := elem
			if !isDict {
				i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
				if i < 0 {
					found = append(found, chartspec.Problem{Path: at, Message: "it has no such field", Unknown: true, Known: names(fields)})
					continue
				}
				next = fields[i].form
			}
			if dict[name] != nil {
				found = append(found, conforms(at, next, dict[name])...)
			}
		}
		return found
	}
	_, isText := v.(string)
	_, isBool := v.(bool)
	_, isInt := chartspec.Whole(v)
	switch {
	case of == "string" && !isText:
		return wrong("string")
	case of == "bool" && !isBool:
		return wrong("bool")
	case of == "int" && !isInt:
		return wrong("int")
	case of == "quantity" && !isText && !isInt:
		return wrong("string")
	case of == "any" && !isText && !isInt:
		return wrong("string or int")
	}
	return nil
}

// compileJSON compiles a JSON patch (RFC 6902) of an object of a kind, and returns its first
// errors.
func compileJSON(kind string, patch []plan.Values) (ops []Op, found []chartspec.Problem) {
	for i, op := range patch {
		compiled, p := jsonOp(kind, op)
		if p != nil {
			p.Path = append([]any{i}, p.Path...)
			found = append(found, *p)
			continue
		}
		ops = append(ops, compiled)
	}
	return ops, found[:min(len(found), chartspec.MaxProblems)]
}

func jsonOp(kind string, op map[string]any) (Op, *chartspec.Problem) {
	wrong := func(key, format string, args ...any) (Op, *chartspec.Problem) {
		return Op{}, &chartspec.Problem{Path: []any{key}, Message: fmt.Sprintf(format, args...)}
	}
	for _, name := range slices.Sorted(maps.Keys(op)) {
		if known := []string{"op", "path", "value"}; !slices.Contains(known, name) {
			return Op{}, &chartspec.Problem{Path: []any{name}, Message: "an operation has no such key", Unknown: true, Known: known}
		}
	}
	do, _ := op["op"].(string)
	if !slices.Contains([]string{"add", "replace", "remove", "test"}, do) {
		return wrong("op", `want "add", "replace", "remove" or "test", got %v`, op["op"])
	}
	text, _ := op["path"].(string)
	if !strings.HasPrefix(text, "/") {
		return wrong("path", "want a path such as /spec/replicas, got %q", text)
	}
	out := Op{Must: do != "add", Delete: do == "remove", Test: do == "test"}
	of := form(kind)
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		last := i == len(parts)-1
		elem, isDict := of.dict()
		item, _, isList := of.list()
		switch fields := of.fields(); {
		case isList && part == "-" && last && do == "add":
			out.Path, of = append(out.Path, Elem{End: true}), item
		case isList:
			n, err := strconv.Atoi(part)
			if err != nil || n < 0 {
				return wrong("path", "%q: want the index of an element, got %q", text, part)
			}
			out.Path, of = append(out.Path, Elem{Index: &n}), item
			out.Insert = last && do == "add"
		case isDict:
			out.Path, of = append(out.Path, part), elem
		default:
			n := slices.IndexFunc(fields, func(f field) bool { return f.name == part })
			if n < 0 {
				return Op{}, &chartspec.Problem{Path: []any{"path"}, Message: fmt.Sprintf("%q: it has no field %q", text, part), Unknown: true, Part: part, Known: names(fields)}
			}
			out.Path, of = append(out.Path, part), fields[n].form
		}
	}
	if f := fixed(kind, out.Path); f != "" && do != "test" {
		return wrong("path", "%q: a patch cannot change %s", text, f)
	}
	v, has := op["value"]
	if out.Delete {
		return out, nil
	}
	if !has {
		return wrong("value", "is missing")
	}
	if p := conforms([]any{"value"}, of, v); len(p) > 0 {
		return Op{}, &p[0]
	}
	out.Value = v
	return out, nil
}

func fieldOf(of form, name string) form {
	for _, f := range of.fields() {
		if f.name == name {
			return f.form
		}
	}
	return "any"
}

func names(fields []field) []string {
	var list []string
	for _, f := range fields {
		list = append(list, f.name)
	}
	return list
}

// dotted returns a path whose parts are all keys, joined by dots.
func dotted(path []any) string {
	var parts []string
	for _, p := range path {
		name, ok := p.(string)
		if !ok {
			return ""
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ".")
}
