package bounded

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// binary is starlark.Binary and starlark.Compare, with a check of the operands.
func (g *Guards) binary(op syntax.Token, x, y starlark.Value) (starlark.Value, error) {
	switch op {
	case syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE:
		if err := g.meter.Compare(x, y); err != nil {
			return nil, err
		}
		ok, err := starlark.Compare(op, x, y)
		return starlark.Bool(ok), err
	case syntax.IN, syntax.NOT_IN:
		if err := g.contains(x, y); err != nil {
			return nil, err
		}
		return starlark.Binary(op, x, y)
	}
	var made starlark.Value
	var err error
	before := g.meter.Steps()
	switch x := x.(type) {
	case starlark.Int:
		if y, ok := y.(starlark.Int); ok {
			return g.ints(op, x, y)
		}
		if _, ok := y.(starlark.Float); ok {
			err = g.unaryCost(x)
		} else if op == syntax.STAR {
			err = g.repeat(y, x)
		}
	case starlark.Float:
		err = g.unaryCost(y)
	case starlark.String:
		switch y := y.(type) {
		case starlark.String:
			if op == syntax.PLUS {
				err = g.meter.Make(len(x) + len(y))
			}
		case starlark.Int:
			if op == syntax.STAR {
				err = g.repeat(x, y)
			}
		}
		if op == syntax.PERCENT {
			err = g.interpolation(string(x), y)
		}
	case starlark.Bytes:
		switch y := y.(type) {
		case starlark.Bytes:
			err = g.meter.Make(len(x) + len(y))
		case starlark.Int:
			err = g.repeat(x, y)
		}
	case *starlark.List:
		switch y := y.(type) {
		case *starlark.List:
			err = g.slots(x.Len() + y.Len())
		case starlark.Int:
			err = g.repeat(x, y)
		}
	case starlark.Tuple:
		switch y := y.(type) {
		case starlark.Tuple:
			err = g.slots(len(x) + len(y))
		case starlark.Int:
			err = g.repeat(x, y)
		}
	case *starlark.Dict:
		if y, ok := y.(*starlark.Dict); ok && op == syntax.PIPE {
			made, err = g.union(x, y)
		}
	case *starlark.Set:
		if y, ok := y.(*starlark.Set); ok && setMethods[op] != "" {
			made, err = g.combine(setMethods[op], x, y)
		}
	default:
		// Structs are joined by +; values of host programs charge for themselves.
		if op == syntax.PLUS {
			err = g.meter.Charge(BoxSize)
			if x, ok := x.(starlark.HasAttrs); ok && err == nil {
				err = g.structs(x, y)
			}
		}
	}
	if err != nil || made != nil {
		return made, err
	}
	return g.apply(op, x, y, before)
}

// apply is starlark.Binary. before is the number of steps before the operation was
// charged.
func (g *Guards) apply(op syntax.Token, x, y starlark.Value, before uint64) (starlark.Value, error) {
	if g.meter.Steps()-before < AwaitFrom {
		return starlark.Binary(op, x, y)
	}
	return g.meter.AwaitValue(before, func() (starlark.Value, error) { return starlark.Binary(op, x, y) })
}

// ints is binary for two integers. Large ones cost as much as schoolbook arithmetic.
func (g *Guards) ints(op syntax.Token, x, y starlark.Int) (starlark.Value, error) {
	a, xSmall := x.Int64()
	_, ySmall := y.Int64()
	if !xSmall || !ySmall {
		n, k := words(x), words(y)
		cost := n + k
		if op == syntax.STAR || op == syntax.SLASHSLASH || op == syntax.PERCENT {
			cost += n * k / 2
		}
		if err := g.meter.Charge(wordSize*(n+k) + cost); err != nil {
			return nil, err
		}
	} else if op == syntax.LTLT && (a > 1<<20 || a < -1<<20) {
		if err := g.meter.Charge(2 * BoxSize); err != nil {
			return nil, err
		}
	}
	z, err := starlark.Binary(op, x, y)
	if i, ok := z.(starlark.Int); ok {
		if n, ok := i.Int64(); !ok || n != int64(int32(n)) {
			if err := g.meter.Charge(BoxSize); err != nil {
				return nil, err
			}
			if err := g.meter.Number(i); err != nil {
				return nil, err
			}
		}
	}
	return z, err
}

// words returns the length of an integer in words.
func words(i starlark.Int) uint64 {
	if _, ok := i.Int64(); ok {
		return 1
	}
	return uint64(len(i.BigInt().Bits()))
}

// unary is starlark.Unary, which can copy a large integer.
func (g *Guards) unary(op syntax.Token, x starlark.Value) (starlark.Value, error) {
	if err := g.unaryCost(x); err != nil {
		return nil, err
	}
	return starlark.Unary(op, x)
}

func (g *Guards) unaryCost(x starlark.Value) error {
	if i, ok := x.(starlark.Int); ok {
		if n, small := i.Int64(); !small || n != int64(int32(n)) {
			return g.meter.Charge(BoxSize + wordSize*words(i))
		}
	}
	return nil
}

// repeat is for x * n.
func (g *Guards) repeat(x starlark.Value, n starlark.Int) error {
	times, ok := n.Int64()
	if !ok {
		times = int64(n.Sign()) << 40
	}
	if times <= 0 {
		return nil
	}
	times = min(times, 1<<32)
	switch x := x.(type) {
	case starlark.String:
		return g.meter.Make(len(x) * int(times))
	case starlark.Bytes:
		return g.meter.Make(len(x) * int(times))
	case *starlark.List:
		return g.slots(x.Len() * int(times))
	case starlark.Tuple:
		return g.slots(len(x) * int(times))
	}
	return nil
}

// slots charges for making a list or tuple of n elements.
func (g *Guards) slots(n int) error {
	if err := g.meter.Fits(valueSize * n); err != nil {
		return err
	}
	return g.meter.Charge(BoxSize + SlotSize*uint64(n))
}

// entries charges for n more entries in a dict or set of the given length.
func (g *Guards) entries(n, length int) error {
	if err := g.meter.Fits(pairSize * (n + length)); err != nil {
		return err
	}
	return g.meter.Charge(EntrySize * uint64(n))
}

// structs is for x + y where both have attributes.
func (g *Guards) structs(x starlark.HasAttrs, y starlark.Value) error {
	if y, ok := y.(starlark.HasAttrs); ok {
		return g.meter.Charge(attrSize * uint64(len(x.AttrNames())+len(y.AttrNames())))
	}
	return nil
}

// contains is for x in y.
func (g *Guards) contains(x, y starlark.Value) error {
	switch y := y.(type) {
	case starlark.String:
		return g.meter.Read(len(y))
	case starlark.Bytes:
		return g.meter.Read(len(y))
	case *starlark.Dict, *starlark.Set:
		return g.meter.Key(y, x)
	case *starlark.List:
		return g.search(x, y)
	case starlark.Tuple:
		return g.search(x, y)
	}
	return nil
}

// search charges for comparing x with each element.
func (g *Guards) search(x starlark.Value, list starlark.Indexable) error {
	n := list.Len()
	if err := g.meter.Charge(visitSteps * uint64(n)); err != nil { // an interface call for each
		return err
	}
	switch x := x.(type) {
	case starlark.Bool, starlark.NoneType:
		return nil
	case starlark.Int:
		if _, ok := x.Int64(); ok {
			return g.searchNumber(x, list)
		}
	case starlark.String:
		if len(x) < 256 {
			return nil
		}
	}
	for i := range n {
		if err := g.meter.Compare(x, list.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// searchNumber charges for comparing x with the numbers of the other type.
func (g *Guards) searchNumber(x starlark.Int, list starlark.Indexable) error {
	for i := range list.Len() {
		if f, ok := list.Index(i).(starlark.Float); ok {
			if err := g.meter.Compare(x, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// interpolation is for format % x: each field writes its argument.
func (g *Guards) interpolation(format string, x starlark.Value) error {
	if t, ok := x.(starlark.Tuple); ok && len(format) < 256 {
		if most, ok := shortArgs(t); ok { // the common case
			return g.meter.Make(SlotSize + len(format) + len(t)*most)
		}
	}
	if err := g.shown("%", x); err != nil {
		return err
	}
	sum := text{meter: g.meter, n: len(format)}
	if t, ok := x.(starlark.Tuple); ok {
		for _, v := range t {
			sum.add(v)
		}
	} else {
		sum.add(x)
	}
	mapping, ok := x.(starlark.Mapping)
	for rest := format; ok; { // %(name)s, each time it occurs
		var name string
		var more bool
		if _, rest, more = strings.Cut(rest, "%("); !more {
			break
		}
		if name, rest, more = strings.Cut(rest, ")"); !more {
			break
		}
		if err := g.meter.Key(mapping, starlark.String(name)); err != nil {
			return err
		}
		if v, found, _ := mapping.Get(starlark.String(name)); found {
			sum.add(v)
		}
	}
	return sum.made()
}

// shown returns an error if op must not convert x to a string, because of a value in it.
func (g *Guards) shown(op string, x starlark.Value) error {
	if leaf(x) {
		return nil
	}
	if t, ok := x.(starlark.Tuple); ok && len(t) < 16 && !slices.ContainsFunc(t, func(v starlark.Value) bool { return !leaf(v) }) {
		return nil
	}
	if err := g.meter.Walk(x); err != nil {
		return err
	}
	return g.opaque(op, x)
}

// leaf reports whether x contains no other values.
func leaf(x starlark.Value) bool {
	switch x.(type) {
	case starlark.String, starlark.Int, starlark.Bool, starlark.NoneType, starlark.Float:
		return true
	}
	return false
}

// A text computes the length of a string that is being built.
type text struct {
	meter *Meter
	n     int
	err   error
}

// add adds str(v), or repr(v), whichever is longer.
func (t *text) add(v starlark.Value) {
	if t.err != nil {
		return
	}
	var n int
	switch v := v.(type) {
	case starlark.String:
		if n = len(v); n > 100 { // %r needs more
			n, t.err = t.meter.TextSize(v)
		}
	case starlark.Int:
		if _, small := v.Int64(); !small {
			n, t.err = t.meter.TextSize(v)
		}
	default:
		n, t.err = t.meter.TextSize(v)
	}
	if t.n += n; t.err == nil {
		t.err = t.meter.Fits(t.n)
	}
}

// part adds an element to join, and a step.
func (t *text) part(v starlark.Value, sep int) {
	if t.err != nil {
		return
	}
	if s, ok := v.(starlark.String); ok {
		t.n += len(s) + sep
	}
	if t.err = t.meter.Charge(1); t.err == nil {
		t.err = t.meter.Fits(max(t.n-sep, 0))
	}
}

// joined charges for the joined parts. The last one has no separator after it.
func (t *text) joined(sep int) error {
	t.n = max(t.n-sep, 0)
	return t.made()
}

// made charges for making the string.
func (t *text) made() error {
	if t.err != nil {
		return t.err
	}
	return t.meter.Make(SlotSize + t.n)
}

// inplace is x op= y: lists and dicts are modified instead of copied.
func (g *Guards) inplace(op syntax.Token, x, y starlark.Value) (starlark.Value, error) {
	switch x := x.(type) {
	case *starlark.List:
		if it, ok := y.(starlark.Iterable); ok && op == syntax.PLUS {
			return x, g.change(x, "extend", "cannot extend", "cannot apply += to", it)
		}
	case *starlark.Dict:
		if d, ok := y.(*starlark.Dict); ok && op == syntax.PIPE {
			if d.Len() == 0 { // update then does not check whether x is mutable
				if _, _, err := x.Delete(starlark.Float(math.NaN())); err != nil {
					return nil, errors.New(strings.Replace(err.Error(), "delete from", "apply |= to", 1))
				}
			}
			return x, g.change(x, "update", "cannot insert into", "cannot apply |= to", d)
		}
	}
	return g.binary(op, x, y)
}

// change calls a method that does the same as an operator, and adjusts its message.
func (g *Guards) change(x starlark.HasAttrs, method, theirs, ours string, y starlark.Value) error {
	m, err := g.method(x, method, checks[method], true)
	if err != nil {
		return err
	}
	_, err = m.CallInternal(g.thread, starlark.Tuple{y}, nil)
	if err != nil {
		if _, after, ok := strings.Cut(err.Error(), theirs); ok {
			return fmt.Errorf("%s%s", ours, after)
		}
	}
	return err
}
