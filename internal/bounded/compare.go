package bounded

import (
	"math"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// Compare charges for a comparison. The interpreter compares no deeper than 10 levels.
func (m *Meter) Compare(x, y starlark.Value) error {
	if m == nil {
		return nil
	}
	c := comparison{most: m.left(), meter: m}
	if !c.values(x, y, starlark.CompareLimit) {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		return m.Charge(m.most)
	}
	return m.Charge(c.sum)
}

// CompareSteps returns the steps for comparing v with another value like it.
func (m *Meter) CompareSteps(v starlark.Value) uint64 {
	switch v := v.(type) {
	case starlark.String:
		return compareSteps + uint64(len(v))/readBytes
	case starlark.Bool, starlark.NoneType:
		return compareSteps
	case starlark.Float:
		m.seen(v)
		return compareSteps + m.mixed
	case starlark.Int:
		if _, ok := v.Int64(); ok {
			return compareSteps + m.mixed
		}
	}
	return m.deepCompareSteps(v)
}

func (m *Meter) deepCompareSteps(v starlark.Value) uint64 {
	c := comparison{most: m.Left(), meter: m, alike: true}
	c.values(v, v, starlark.CompareLimit)
	return c.sum
}

// A number is compared with a number of the other type as a fraction, which is longer the
// farther the exponent is from 0.
func mixedSteps(f starlark.Float) uint64 {
	_, e := math.Frexp(float64(f))
	return 60 + uint64(max(e, -e))/3
}

// seen records that there are floating-point numbers among the values that are compared
// or hashed, so that integers may be compared with them.
func (m *Meter) seen(f starlark.Float) { m.mixed = max(m.mixed, mixedSteps(f)) }

type comparison struct {
	sum, most uint64
	meter     *Meter
	alike     bool // v is compared with another value like it, instead of these two
}

// number adds the steps of a comparison of numbers of different types.
func (c *comparison) number(x, y starlark.Value) {
	f, ok := x.(starlark.Float)
	i, whole := y.(starlark.Int)
	if ok && whole {
		c.sum += mixedSteps(f) + 2*digits(i)
	}
}

// values adds the steps of a comparison, as if everything but the last elements were
// equal.
func (c *comparison) values(x, y starlark.Value, depth int) bool {
	if c.sum += compareSteps; c.sum > c.most || c.meter.visit() != nil {
		return false
	}
	if depth < 1 {
		return true
	}
	switch x := x.(type) {
	case starlark.String:
		if y, ok := y.(starlark.String); ok {
			c.sum += uint64(min(len(x), len(y))) / readBytes
		}
	case starlark.Bytes:
		if y, ok := y.(starlark.Bytes); ok {
			c.sum += uint64(min(len(x), len(y))) / readBytes
		}
	case starlark.Float:
		if c.number(x, y); c.alike {
			c.meter.seen(x)
			c.sum += c.meter.mixed
		}
	case starlark.Int:
		if c.number(y, x); c.alike {
			c.sum += c.meter.mixed
		}
		if _, ok := x.Int64(); !ok {
			c.sum += digits(x) / 20
		}
		if y, ok := y.(starlark.Int); ok {
			if _, ok := y.Int64(); !ok {
				c.sum += digits(y) / 20
			}
		}
	case starlark.Tuple:
		if y, ok := y.(starlark.Tuple); ok {
			for i := range min(len(x), len(y)) {
				if !c.values(x[i], y[i], depth-1) {
					return false
				}
			}
		}
	case *starlark.List:
		if y, ok := y.(*starlark.List); ok {
			for i := range min(x.Len(), y.Len()) {
				if !c.values(x.Index(i), y.Index(i), depth-1) {
					return false
				}
			}
		}
	case *starlark.Dict:
		if y, ok := y.(*starlark.Dict); ok && x.Len() == y.Len() {
			for k, e := range x.Entries() {
				if !c.key(y, k) {
					return false
				}
				other, found, _ := y.Get(k) // the comparison fails with the same error
				if found && !c.values(e, other, depth-1) {
					return false
				}
			}
		}
	case *starlark.Set:
		if y, ok := y.(*starlark.Set); ok {
			// A set may look up the elements of the other, or have it count its own, for
			// which it allocates memory.
			c.sum += SlotSize * uint64(Buckets(x)+Buckets(y))
			for e := range x.Elements() {
				if c.sum += visitSteps; !c.key(y, e) {
					return false
				}
			}
			for e := range y.Elements() {
				if c.sum += visitSteps; !c.key(x, e) {
					return false
				}
			}
		}
	case *starlarkstruct.Struct:
		if y, ok := y.(*starlarkstruct.Struct); ok && x.Len() == y.Len() {
			for i := range x.Len() {
				_, a := x.AttrAt(i)
				_, b := y.AttrAt(i)
				if !c.values(a, b, depth-1) {
					return false
				}
			}
		}
	}
	return true
}

// key adds the steps of a lookup of k.
func (c *comparison) key(of, k starlark.Value) bool {
	n, err := c.meter.hashSteps(k, 0, c.most)
	if c.sum += n; err != nil || c.sum > c.most {
		return false
	}
	c.sum += c.meter.searchSteps(buckets(of), k)
	return c.sum <= c.most
}
