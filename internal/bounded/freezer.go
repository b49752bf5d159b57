package bounded

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// A Freezer checks that freezing a value terminates. The interpreter traverses the value
// recursively, as a tree, and only lists, dicts, sets and structs record that they were
// visited. The Freezer visits everything once.
type Freezer struct {
	meter *Meter
	seen  map[any]extent
}

func NewFreezer(m *Meter) *Freezer { return &Freezer{meter: m, seen: map[any]extent{}} }

// Check returns an error if v cannot be frozen, and charges for freezing it.
func (f *Freezer) Check(v starlark.Value) error {
	x, err := f.visit(v, 0)
	if err != nil {
		return err
	}
	return f.meter.Charge(x.tree)
}

// An extent is the size of what is below a value.
type extent struct {
	tree   uint64 // values, up to those that record that they are frozen
	height int
	marks  bool // the value records that it is frozen
	open   bool // the traversal is still inside the value
}

// A tuple is identified by its first element.
type tupleKey struct {
	first *starlark.Value
	len   int
}

// shortTuple is the maximum number of elements of a tuple that is traversed again instead
// of remembered.
const shortTuple = 8

func (f *Freezer) visit(v starlark.Value, depth int) (extent, error) {
	var key any = v
	switch x := v.(type) {
	case *starlark.List, *starlark.Dict, *starlark.Set, *starlarkstruct.Struct, *starlark.Function, *starlark.Builtin, *method:
	case starlark.Tuple:
		if len(x) == 0 {
			return extent{tree: 1}, nil
		}
		if len(x) <= shortTuple && !slices.ContainsFunc(x, func(c starlark.Value) bool { return !leaf(c) }) {
			// Traversing it again is as fast as remembering it.
			return extent{tree: 1 + uint64(len(x)), height: 1}, f.meter.Charge(1)
		}
		key = tupleKey{&x[0], len(x)}
	default:
		return extent{tree: 1}, nil
	}
	x, ok := f.seen[key]
	switch {
	case ok && x.open && !x.marks:
		return x, fmt.Errorf("a value contains itself, through a function that refers to it")
	case ok && x.marks:
		x.tree = 1
	}
	if !ok {
		var err error
		if x, err = f.children(v, key, depth); err != nil {
			return x, err
		}
	}
	if depth+x.height > MaxDepth {
		return x, fmt.Errorf("a value is nested deeper than %d", MaxDepth)
	}
	return x, nil
}

func (f *Freezer) children(v starlark.Value, key any, depth int) (extent, error) {
	var x extent
	if err := f.meter.Charge(rememberSteps); err != nil {
		return x, err
	}
	switch v.(type) {
	case *starlark.List, *starlark.Dict, *starlark.Set, *starlarkstruct.Struct:
		x.marks = true
	}
	if depth > MaxDepth {
		return x, fmt.Errorf("a value is nested deeper than %d", MaxDepth)
	}
	x.open = true
	f.seen[key] = x
	x.tree = 1
	var err error
	child := func(c starlark.Value) bool {
		if c == nil || err != nil {
			return err == nil
		}
		var below extent
		below, err = f.visit(c, depth+1)
		if x.tree += below.tree; x.tree > 1<<40 {
			x.tree = 1 << 40 // more steps than any program has
		}
		x.height = max(x.height, below.height+1)
		return err == nil
	}
	switch v := v.(type) {
	case starlark.Tuple:
		for _, c := range v {
			child(c)
		}
	case *starlark.List:
		for i := range v.Len() {
			child(v.Index(i))
		}
	case *starlark.Dict:
		for k, c := range v.Entries() {
			child(k)
			child(c)
		}
	case *starlark.Set:
		for c := range v.Elements() {
			child(c)
		}
	case *starlarkstruct.Struct:
		for _, c := range v.Entries() {
			child(c)
		}
	case *starlark.Builtin:
		child(v.Receiver())
	case *method:
		child(v.Receiver())
	case *starlark.Function:
		for i := range v.NumFreeVars() {
			_, c := v.FreeVar(i)
			child(c)
		}
		for i := range v.NumParams() {
			child(v.ParamDefault(i))
		}
	}
	x.open = false
	f.seen[key] = x
	if x.marks && err == nil { // charged here, because it is frozen once
		err = f.meter.Charge(x.tree / 4)
		x.tree = 1
	}
	return x, err
}
