package builtins

import (
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// Compare counts a comparison. The interpreter compares no deeper than 10.
func (m *Meter) Compare(x, y starlark.Value) error {
	if m == nil {
		return nil
	}
	c := comparison{most: m.left()}
	if !c.values(x, y, starlark.CompareLimit) {
		return m.Charge(m.most)
	}
	return m.Charge(c.sum)
}

// CompareSteps returns how many steps it takes to compare v with another value
// like it.
func (m *Meter) CompareSteps(v starlark.Value) uint64 {
	switch v := v.(type) {
	case starlark.String:
		return 3 + uint64(len(v))/16
	case starlark.Bool, starlark.NoneType, starlark.Float:
		return 3
	case starlark.Int:
		if _, ok := v.Int64(); ok {
			return 3
		}
	}
	return m.deepCompareSteps(v)
}

func (m *Meter) deepCompareSteps(v starlark.Value) uint64 {
	c := comparison{most: m.leftAll()}
	c.values(v, v, starlark.CompareLimit)
	return c.sum
}

type comparison struct{ sum, most uint64 }

// values sums up the steps of a comparison, as if all but the ends were equal.
func (c *comparison) values(x, y starlark.Value, depth int) bool {
	if c.sum += 3; c.sum > c.most {
		return false
	}
	if depth < 1 {
		return true
	}
	switch x := x.(type) {
	case starlark.String:
		if y, ok := y.(starlark.String); ok {
			c.sum += uint64(min(len(x), len(y))) / 16
		}
	case starlark.Bytes:
		if y, ok := y.(starlark.Bytes); ok {
			c.sum += uint64(min(len(x), len(y))) / 16
		}
	case starlark.Int:
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
				n, err := hashSteps(k, 0, c.most)
				if c.sum += n; err != nil || c.sum > c.most {
					return false
				}
				other, found, _ := y.Get(k) // an error is the comparison's, too
				if found && !c.values(e, other, depth-1) {
					return false
				}
			}
		}
	case *starlark.Set:
		if y, ok := y.(*starlark.Set); ok {
			c.sum += 4 * uint64(min(x.Len(), y.Len()))
			for e := range x.Elements() {
				n, err := hashSteps(e, 0, c.most)
				if c.sum += n; err != nil || c.sum > c.most {
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
