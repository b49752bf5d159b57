package bounded

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// An operand is the left operand of an operator, while the right one is evaluated.
type operand struct {
	hidden
	g       *Guards
	x       starlark.Value
	op      syntax.Token
	inplace bool
}

func (g *Guards) operand(x starlark.Value, op syntax.Token, inplace bool) *operand {
	n := len(g.free)
	if n == 0 {
		return &operand{g: g, x: x, op: op, inplace: inplace}
	}
	o := g.free[n-1]
	g.free = g.free[:n-1]
	o.x, o.op, o.inplace = x, op, inplace
	return o
}

// Get applies the operator.
func (o *operand) Get(y starlark.Value) (starlark.Value, bool, error) {
	g, x, op, inplace := o.g, o.x, o.op, o.inplace
	o.x = nil
	g.free = append(g.free, o)
	var z starlark.Value
	var err error
	if inplace {
		z, err = g.inplace(op, x, y)
	} else {
		z, err = g.binary(op, x, y)
	}
	return z, true, err
}

// Binary applies the operator of x[i] += y, when the interpreter does.
func (o *operand) Binary(_ syntax.Token, y starlark.Value, _ starlark.Side) (starlark.Value, error) {
	z, _, err := o.Get(y)
	return z, err
}

// A target is x in x[i] and in x[i] = y and x.f = y; with an operator, in x[i] += y and x.f += y.
type target struct {
	hidden
	g  *Guards
	x  starlark.Value
	op syntax.Token
}

func (g *Guards) target(x starlark.Value, op syntax.Token) *target {
	n := len(g.targets)
	if n == 0 {
		return &target{g: g, x: x, op: op}
	}
	t := g.targets[n-1]
	g.targets = g.targets[:n-1]
	t.x, t.op = x, op
	return t
}

// keyed returns x, or for a dict a target that charges for the lookup of a key.
func (g *Guards) keyed(x starlark.Value) starlark.Value {
	if _, ok := x.(*starlark.Dict); ok {
		return g.target(x, 0)
	}
	return x
}

// at is keyed for a short literal key, whose lookup in a small dict needs no charge.
func (g *Guards) at(x starlark.Value) starlark.Value {
	if d, ok := x.(*starlark.Dict); ok && Buckets(d) > 1 {
		return g.target(x, 0)
	}
	return x
}

// Get returns x[i], ready for the operator if there is one.
func (t *target) Get(i starlark.Value) (starlark.Value, bool, error) {
	old, err := t.g.index(t.x, i)
	if err != nil {
		return nil, false, err
	}
	if t.op == 0 {
		t.x = nil
		t.g.targets = append(t.g.targets, t)
		return old, true, nil
	}
	return t.g.operand(old, t.op, true), true, nil
}

// SetKey does x[i] = v.
func (t *target) SetKey(i, v starlark.Value) error {
	x := t.x
	t.x = nil
	t.g.targets = append(t.g.targets, t)
	d, ok := x.(*starlark.Dict)
	if !ok {
		return setIndex(x, i, v)
	}
	refused, err := t.g.put(d, i, v)
	if err != nil {
		return err
	}
	return refused
}

// Attr returns x.name, ready for the operator.
func (t *target) Attr(name string) (starlark.Value, error) {
	x, ok := t.x.(starlark.HasAttrs)
	if !ok {
		return nil, noMethod(t.x, name)
	}
	old, err := x.Attr(name)
	if old == nil && err == nil {
		err = noMethod(t.x, name)
	}
	if err != nil {
		return nil, err
	}
	return t.g.operand(old, t.op, true), nil
}

// AttrNames is used for suggestions.
func (t *target) AttrNames() []string {
	if x, ok := t.x.(starlark.HasAttrs); ok {
		return x.AttrNames()
	}
	return nil
}

// SetField does x.name = v.
func (t *target) SetField(name string, v starlark.Value) error {
	if x, ok := t.x.(starlark.HasSetField); ok {
		return x.SetField(name, v)
	}
	return fmt.Errorf("can't assign to .%s field of %s", name, t.x.Type())
}

// index implements x[i] as the interpreter does.
func (g *Guards) index(x, i starlark.Value) (starlark.Value, error) {
	switch x := x.(type) {
	case starlark.Mapping:
		if err := g.meter.Key(x, i); err != nil {
			return nil, err
		}
		v, found, err := x.Get(i)
		if err == nil && !found {
			err = g.keyError("key %v not in %s", i, x.Type())
		}
		return v, err
	case starlark.Indexable:
		n, err := position(x, i, x.Type()+" index: ")
		if err != nil {
			return nil, err
		}
		return x.Index(n), nil
	}
	return nil, fmt.Errorf("unhandled index operation %s[%s]", x.Type(), i.Type())
}

// setIndex implements x[i] = v as the interpreter does.
func setIndex(x, i, v starlark.Value) error {
	switch x := x.(type) {
	case starlark.HasSetKey:
		return x.SetKey(i, v)
	case starlark.HasSetIndex:
		n, err := position(x, i, "")
		if err != nil {
			return err
		}
		return x.SetIndex(n, v)
	}
	return fmt.Errorf("%s value does not support item assignment", x.Type())
}

func position(x starlark.Indexable, i starlark.Value, what string) (int, error) {
	n := x.Len()
	at, err := starlark.AsInt32(i)
	if err != nil {
		return 0, fmt.Errorf("%s%w", what, err)
	}
	given := at
	if at < 0 {
		at += n
	}
	switch {
	case at >= 0 && at < n:
		return at, nil
	case n == 0:
		return 0, fmt.Errorf("index %d out of range: empty %s", given, x.Type())
	}
	return 0, fmt.Errorf("%s index %d out of range [%d:%d]", x.Type(), given, -n, n-1)
}
