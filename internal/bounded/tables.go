package bounded

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Every key that is inserted into a dict or set, or looked up in it, is charged with the
// table at hand, because the cost depends on the table. What the interpreter would make
// in one step is made here, key by key. If the arguments are wrong, the call is left to
// the interpreter, which reports the error.

// put does d[k] = v. An error of the interpreter is returned separately from an error of
// the meter.
func (g *Guards) put(d *starlark.Dict, k, v starlark.Value) (refused, err error) {
	if err := g.meter.NewKey(d, k); err != nil {
		return nil, err
	}
	n := d.Len()
	if err := d.SetKey(k, v); err != nil || d.Len() == n {
		return err, nil
	}
	return nil, g.entries(1, n)
}

// add is put for a set.
func (g *Guards) add(s *starlark.Set, k starlark.Value) (refused, err error) {
	if err := g.meter.NewKey(s, k); err != nil {
		return nil, err
	}
	n := s.Len()
	if err := s.Insert(k); err != nil || s.Len() == n {
		return err, nil
	}
	return nil, g.entries(1, n)
}

// update does what dict() and dict.update do, if the arguments are valid.
func (g *Guards) update(d *starlark.Dict, args starlark.Tuple, kwargs []starlark.Tuple) (done bool, err error) {
	if len(args) > 1 {
		return false, nil
	}
	for _, arg := range args {
		if done, err := g.putAll(d, arg); err != nil || !done {
			return false, err
		}
	}
	n := d.Len()
	for _, kv := range kwargs {
		if refused, err := g.put(d, kv[0], kv[1]); err != nil || refused != nil {
			return false, err
		}
	}
	return d.Len() == n+len(kwargs), nil // otherwise some were there already, or are given twice
}

// putAll inserts the entries of a dict, or pairs, into d.
func (g *Guards) putAll(d *starlark.Dict, from starlark.Value) (done bool, err error) {
	if m, ok := from.(starlark.IterableMapping); ok {
		if err := g.meter.Charge(2 * BoxSize * uint64(max(starlark.Len(from), 0))); err != nil {
			return false, err
		}
		for _, kv := range m.Items() {
			if refused, err := g.put(d, kv[0], kv[1]); err != nil || refused != nil {
				return false, err
			}
		}
		return true, nil
	}
	it, ok := from.(starlark.Iterable)
	if !ok {
		return false, nil
	}
	for e := range starlark.Elements(it) {
		pair, ok := e.(starlark.Iterable)
		if !ok || starlark.Len(e) != 2 {
			return false, nil
		}
		kv := make([]starlark.Value, 0, 2)
		for v := range starlark.Elements(pair) {
			kv = append(kv, v)
		}
		if refused, err := g.put(d, kv[0], kv[1]); err != nil || refused != nil {
			return false, err
		}
	}
	return true, nil
}

// addAll inserts all elements of values into s, if they are iterable.
func (g *Guards) addAll(s *starlark.Set, values ...starlark.Value) (done bool, err error) {
	for _, v := range values {
		it, ok := v.(starlark.Iterable)
		if !ok {
			return false, nil
		}
		for e := range starlark.Elements(it) {
			if err := g.meter.Charge(visitSteps); err != nil {
				return false, err
			}
			if refused, err := g.add(s, e); err != nil || refused != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// newSet returns a set of the elements of values, or nil if the interpreter must report
// the error.
func (g *Guards) newSet(values ...starlark.Value) (*starlark.Set, error) {
	if err := g.meter.Charge(DictSize); err != nil {
		return nil, err
	}
	s := new(starlark.Set)
	if done, err := g.addAll(s, values...); err != nil || !done {
		return nil, err
	}
	return s, nil
}

// orNil avoids a typed nil in the interface.
func orNil[V any, P interface {
	*V
	starlark.Value
}](v P, err error) (starlark.Value, error) {
	if v == nil {
		return nil, err
	}
	return v, err
}

// setMethods are the methods that correspond to the operators of sets.
var setMethods = map[syntax.Token]string{
	syntax.PIPE: "union", syntax.AMP: "intersection", syntax.MINUS: "difference", syntax.CIRCUMFLEX: "symmetric_difference",
}

// combine returns the union, the difference, … of a set and another value, or nil if the
// interpreter must report the error.
func (g *Guards) combine(method string, s *starlark.Set, other starlark.Value) (starlark.Value, error) {
	if method == "union" {
		return orNil(g.newSet(s, other))
	}
	it, ok := other.(starlark.Iterable)
	if !ok {
		return nil, nil
	}
	out, err := g.newSet()
	if method != "intersection" && err == nil {
		_, err = g.addAll(out, s)
	}
	if err != nil {
		return nil, err
	}
	for e := range starlark.Elements(it) {
		if err := g.meter.Charge(visitSteps); err != nil {
			return nil, err
		}
		of := out
		if method == "intersection" {
			of = s
		}
		if err := g.meter.Key(of, e); err != nil {
			return nil, err
		}
		var found bool
		if method == "intersection" {
			found, err = s.Has(e)
		} else {
			found, err = out.Delete(e)
		}
		if err != nil {
			return nil, nil
		}
		if found == (method == "intersection") && method != "difference" {
			if refused, err := g.add(out, e); err != nil || refused != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// union returns x | y for dicts.
func (g *Guards) union(x, y *starlark.Dict) (starlark.Value, error) {
	return orNil(g.newDict(starlark.Tuple{x}, nil, y))
}

// newDict returns a dict made from the arguments of dict(), and from more.
func (g *Guards) newDict(args starlark.Tuple, kwargs []starlark.Tuple, more ...starlark.Value) (*starlark.Dict, error) {
	if err := g.meter.Charge(DictSize); err != nil {
		return nil, err
	}
	d := new(starlark.Dict)
	if done, err := g.update(d, args, kwargs); err != nil || !done {
		return nil, err
	}
	for _, v := range more {
		if done, err := g.putAll(d, v); err != nil || !done {
			return nil, err
		}
	}
	return d, nil
}

// A pending is the key of {k: v}, while the value is evaluated.
type pending struct {
	hidden
	g    *Guards
	k    starlark.Value
	uniq bool
}

// entry returns k, ready to receive the value.
func (g *Guards) entry(k starlark.Value, uniq bool) *pending {
	n := len(g.pending)
	if n == 0 {
		return &pending{g: g, k: k, uniq: uniq}
	}
	p := g.pending[n-1]
	g.pending = g.pending[:n-1]
	p.k, p.uniq = k, uniq
	return p
}

// Get inserts the entry into the dict being built.
func (p *pending) Get(v starlark.Value) (starlark.Value, bool, error) {
	g, k := p.g, p.k
	p.k = nil
	g.pending = append(g.pending, p)
	d := g.making[len(g.making)-1]
	n := d.Len()
	refused, err := g.put(d, k, v)
	if err == nil {
		err = refused
	}
	if err == nil && p.uniq && d.Len() == n {
		err = g.keyError("duplicate key: %v", k)
	}
	return starlark.False, true, err
}

// open starts building a dict. Dicts nested inside are closed before it.
func (g *Guards) open(v starlark.Value) (starlark.Value, error) {
	g.making = append(g.making, new(starlark.Dict))
	return v, g.meter.Charge(DictSize)
}

// closed returns the dict that was built.
func (g *Guards) closed(starlark.Value) (starlark.Value, error) {
	n := len(g.making) - 1
	d := g.making[n]
	g.making = g.making[:n]
	return d, nil
}

// keyError is an error that contains a key as a string, which can be long.
func (g *Guards) keyError(format string, k starlark.Value, more ...any) error {
	if s, ok := k.(starlark.String); ok && len(s) > MaxMessage {
		k = s[:MaxMessage]
	}
	if err := g.mentioned(k); err != nil {
		return err
	}
	return fmt.Errorf(format, append([]any{k}, more...)...)
}
