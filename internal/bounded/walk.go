package bounded

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// Walk charges for a traversal of v as a tree: shared values count each time.
func (m *Meter) Walk(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.String:
		return m.Charge(textSteps(v))
	case starlark.Bool, starlark.NoneType, starlark.Int, starlark.Float:
		return nil
	case *starlark.List, *starlark.Dict, *starlark.Set, starlark.Tuple, *starlarkstruct.Struct:
	default:
		return nil
	}
	if m == nil {
		return nil
	}
	if n, ok := m.flatSteps(v); ok {
		return m.Charge(n)
	}
	w := walk{meter: m, most: m.left(), each: walkSteps}
	if err := w.value(v, 0); err != nil {
		return err
	}
	return m.Charge(w.sum)
}

// flatSteps walks the small lists and dicts that most values are. It allocates only for
// iterating over a dict.
func (m *Meter) flatSteps(v starlark.Value) (n uint64, ok bool) {
	const maxFlat = 32 // elements
	m.flat = flat{}
	switch v := v.(type) {
	case starlark.Tuple:
		if len(v) > maxFlat {
			return 0, false
		}
		for _, e := range v {
			m.flat.add(e)
		}
	case *starlark.List:
		if v.Len() > maxFlat {
			return 0, false
		}
		for i := range v.Len() {
			m.flat.add(v.Index(i))
		}
	case *starlark.Dict:
		if v.Len() > maxFlat {
			return 0, false
		}
		v.Entries()(m.entry)
	default:
		return 0, false
	}
	return m.flat.steps, !m.flat.deep
}

// flat is what flatSteps found so far.
type flat struct {
	steps uint64
	deep  bool // there is a list or another container
}

func (f *flat) add(v starlark.Value) {
	switch v := v.(type) {
	case starlark.String:
		f.steps += elementSteps + textSteps(v)
	case *starlark.List, *starlark.Dict, *starlark.Set, starlark.Tuple, *starlarkstruct.Struct:
		f.deep = true
	default:
		f.steps += elementSteps
	}
}

// textSteps is the cost of a string, which may be scanned in more than one way if it is
// long.
func textSteps(s starlark.String) uint64 {
	if len(s) > 1024 {
		return uint64(len(s))
	}
	return uint64(len(s)) / readBytes
}

func walkSteps(v starlark.Value) uint64 {
	if s, ok := v.(starlark.String); ok {
		return manySteps + textSteps(s)
	}
	return manySteps
}

// A walk adds up the cost of each value in a value. It stops as soon as the sum exceeds
// most.
type walk struct {
	meter *Meter
	each  func(starlark.Value) uint64
	most  uint64
	sum   uint64
	path  []starlark.Value // the enclosing lists and dicts, which can contain themselves
}

func (w *walk) value(v starlark.Value, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("the value is nested deeper than %d", MaxDepth)
	}
	w.sum += w.each(v) + uint64(len(w.path))
	if w.sum > w.most {
		return ErrSteps
	}
	if err := w.meter.visit(); err != nil {
		return err
	}
	switch v := v.(type) {
	case starlark.Tuple:
		for _, e := range v {
			if err := w.value(e, depth+1); err != nil {
				return err
			}
		}
	case *starlark.List:
		if v.Len() == 0 || w.inside(v) {
			return nil
		}
		w.path = append(w.path, v)
		for i := range v.Len() {
			if err := w.value(v.Index(i), depth+1); err != nil {
				return err
			}
		}
		w.path = w.path[:len(w.path)-1]
	case *starlark.Dict:
		if v.Len() == 0 || w.inside(v) {
			return nil
		}
		w.path = append(w.path, v)
		for k, e := range v.Entries() {
			if err := w.value(k, depth+1); err != nil {
				return err
			}
			if err := w.value(e, depth+1); err != nil {
				return err
			}
		}
		w.path = w.path[:len(w.path)-1]
	case *starlark.Set:
		for e := range v.Elements() {
			if err := w.value(e, depth+1); err != nil {
				return err
			}
		}
	case *starlarkstruct.Struct:
		for name, e := range v.Entries() {
			w.sum += uint64(len(name))
			if err := w.value(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// inside reports whether v encloses the current value.
func (w *walk) inside(v starlark.Value) bool {
	for _, p := range w.path {
		if p == v {
			return true
		}
	}
	return false
}
