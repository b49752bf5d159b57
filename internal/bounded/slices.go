package bounded

import "go.starlark.net/starlark"

// The interpreter copies a slice with a step element by element, in a single step.

// A stepped value is x in x[i:j:k].
type stepped struct {
	hidden
	x starlark.Sliceable
	g *Guards
}

// stepping returns x, or a value that charges for slicing it.
func (g *Guards) stepping(x starlark.Value) starlark.Value {
	switch x := x.(type) {
	case starlark.String, starlark.Bytes, starlark.Tuple, *starlark.List:
		return &stepped{x: x.(starlark.Sliceable), g: g}
	}
	return x
}

// Slice returns a sliced, because it cannot return an error.
func (s *stepped) Slice(start, end, step int) starlark.Value {
	n := (end - start) / step
	before := s.g.meter.Steps()
	var err error
	switch s.x.(type) {
	case starlark.String, starlark.Bytes:
		err = s.g.meter.Make(n)
	default:
		err = s.g.slots(n)
	}
	out := &sliced{err: err}
	if err == nil {
		out.v, out.err = s.g.meter.AwaitValue(before, func() (starlark.Value, error) { return s.x.Slice(start, end, step), nil })
	}
	return out
}

// Index is not called.
func (s *stepped) Index(i int) starlark.Value { return s.x.Index(i) }

// Len returns the number of elements.
func (s *stepped) Len() int { return s.x.Len() }

// A sliced is x[i:j:k], or the error of making it.
type sliced struct {
	hidden
	v   starlark.Value
	err error
}

// taken returns the value of a slice.
func taken(v starlark.Value) (starlark.Value, error) {
	if s, ok := v.(*sliced); ok {
		return s.v, s.err
	}
	return v, nil
}

var _ starlark.Sliceable = (*stepped)(nil)
