package builtins

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/misspell"
	"github.com/pipelinefile/pipe/plan"
)

// A Plan is the value of a plan in tests: its JSON form, in which fields that the JSON
// omits are None or empty. It has two additional functions, and equals other plans with
// the same content.
type Plan struct {
	plan   *plan.Plan
	digest plan.Digest
	fields *starlarkstruct.Struct
}

// NewPlan returns p as a value, and charges m for it.
func NewPlan(p *plan.Plan, m *bounded.Meter) (*Plan, error) {
	digest, err := p.Digest()
	if err != nil {
		return nil, err
	}
	size := uint64(0)
	v := mirrored(reflect.ValueOf(*p), &size)
	v.Freeze()
	return &Plan{plan: p, digest: digest, fields: v.(*starlarkstruct.Struct)}, m.Charge(size)
}

// mirrored converts plain data to a value, and adds its cost to size.
func mirrored(v reflect.Value, size *uint64) starlark.Value {
	*size += bounded.BoxSize
	if v.IsValid() && v.CanInterface() {
		if t, ok := v.Interface().(encoding.TextMarshaler); ok {
			text, err := t.MarshalText()
			if err == nil {
				return starlark.String(text)
			}
		}
	}
	switch v.Kind() {
	case reflect.String:
		return starlark.String(v.String())
	case reflect.Bool:
		return starlark.Bool(v.Bool())
	case reflect.Int, reflect.Int64:
		return starlark.MakeInt64(v.Int())
	case reflect.Float64:
		return starlark.Float(v.Float())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return mirrored(v.Elem(), size)
		}
	case reflect.Slice:
		if data, ok := v.Interface().([]byte); ok {
			return starlark.String(base64.StdEncoding.EncodeToString(data))
		}
		list := make([]starlark.Value, v.Len())
		for i := range list {
			list[i] = mirrored(v.Index(i), size)
		}
		return starlark.NewList(list)
	case reflect.Map:
		*size += bounded.DictSize + bounded.EntrySize*uint64(v.Len())
		d := starlark.NewDict(v.Len())
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			_ = d.SetKey(starlark.String(k.String()), mirrored(v.MapIndex(k), size)) // a string can be hashed
		}
		return d
	case reflect.Struct:
		fields := starlark.StringDict{}
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.Anonymous { // its fields are fields of the JSON object
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			fields[name] = mirrored(v.FieldByIndex(f.Index), size)
		}
		return starlarkstruct.FromStringDict(starlark.String(strings.ToLower(v.Type().Name())), fields)
	}
	return starlark.None
}

// The methods of the value.

func (p *Plan) String() string {
	return fmt.Sprintf("plan(%s for %s)", p.plan.Pipeline.Name, p.plan.Environment.Name)
}
func (p *Plan) Type() string          { return "plan" }
func (p *Plan) Freeze()               {}
func (p *Plan) Truth() starlark.Bool  { return true }
func (p *Plan) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable: plan") }

// CompareSameType compares the contents of the plans. Plans are not ordered.
func (p *Plan) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	same := p.digest == y.(*Plan).digest
	switch op {
	case syntax.EQL:
		return same, nil
	case syntax.NEQ:
		return !same, nil
	}
	return false, fmt.Errorf("plan %s plan not implemented", op)
}

// planMethods are the attributes of a plan that its JSON does not have.
var planMethods = []string{"build", "service"}

// AttrNames returns those of the JSON form, and the functions. A function comes first in
// the order, which keeps json.encode from writing a plan, because that would not be
// charged.
func (p *Plan) AttrNames() []string {
	names := append(p.fields.AttrNames(), planMethods...)
	slices.Sort(names)
	return names
}

// Attr returns an attribute.
func (p *Plan) Attr(name string) (starlark.Value, error) {
	switch name {
	case "service":
		return p.lookup(name, "services"), nil
	case "build":
		return p.lookup(name, "builds"), nil
	}
	if !slices.Contains(p.fields.AttrNames(), name) {
		return nil, nil
	}
	return p.fields.Attr(name)
}

// lookup returns the function that finds an element of a list of the plan by name.
func (p *Plan) lookup(what, list string) *starlark.Builtin {
	return starlark.NewBuiltin(what, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var name string
		if err := starlark.UnpackArgs(what, args, kwargs, "name", &name); err != nil {
			return nil, err
		}
		all, err := p.fields.Attr(list)
		if err != nil {
			return nil, err
		}
		var names []string
		for i := range all.(*starlark.List).Len() {
			s := all.(*starlark.List).Index(i).(*starlarkstruct.Struct)
			is, _ := s.Attr("name")
			if what == "build" {
				is, _ = s.Attr("id")
			}
			if is == starlark.String(name) {
				return s, nil
			}
			names = append(names, string(is.(starlark.String)))
		}
		h := &explain.Error{Msg: fmt.Sprintf("%s: the plan has no %s %q", what, what, explain.Clip(name))}
		if near := misspell.Nearest(name, names); near != "" {
			h.Suggest = near
		} else if len(names) > 0 && len(names) <= 20 {
			h.Hint = "it has " + strings.Join(names, ", ")
		}
		return nil, h
	})
}

// golden returns the JSON of the plan without fields that change although the effect of
// the plan does not: positions, and the digests of inputs.
func (p *Plan) golden(m *bounded.Meter) (string, error) {
	data, err := json.Marshal(p.plan)
	if err != nil {
		return "", fmt.Errorf("golden: %w", err)
	}
	if err := m.Charge(parseSize * uint64(len(data))); err != nil {
		return "", err
	}
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return "", fmt.Errorf("golden: %w", err)
	}
	withoutPositions(tree)
	for _, in := range tree["inputs"].([]any) {
		delete(in.(map[string]any), "digest")
	}
	return indentedJSON(tree, m)
}

// named are the fields of a plan whose keys the author chooses.
var named = map[string]bool{"values": true, "labels": true, "args": true}

// withoutPositions removes the positions of declarations from a part of a plan.
func withoutPositions(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			withoutPositions(e)
		}
	case map[string]any:
		for _, field := range []string{"pos", "line", "related", "stack"} { // the last three are of warnings
			delete(v, field)
		}
		for field, e := range v {
			if !named[field] {
				withoutPositions(e)
			}
		}
	}
}
