package bounded

import (
	"go.starlark.net/starlark"
)

// container is the check of the methods of lists, dicts and sets.
func (g *Guards) container(name string, recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var arg starlark.Value = starlark.None
	if len(args) > 0 {
		arg = args[0]
	}
	switch recv := recv.(type) {
	case *starlark.List:
		return nil, g.listMethod(name, recv, arg)
	case *starlark.Dict:
		if name == "update" {
			return noneIf(g.update(recv, args, kwargs))
		}
		return nil, g.dictMethod(name, recv, arg)
	case *starlark.Set:
		return g.setMethod(name, recv, args, kwargs)
	}
	return nil, nil
}

// noneIf returns None if done is true.
func noneIf(done bool, err error) (starlark.Value, error) {
	if !done || err != nil {
		return nil, err
	}
	return starlark.None, nil
}

func (g *Guards) listMethod(name string, l *starlark.List, arg starlark.Value) error {
	n := l.Len()
	more := 0
	switch name {
	case "append":
		more = 1
	case "extend":
		if it, ok := arg.(starlark.Iterable); ok {
			var err error
			if more, err = g.count(it); err != nil {
				return err
			}
		}
	case "insert":
		more = 1
		if err := g.meter.Charge(uint64(n) / movedValues); err != nil { // the other elements move
			return err
		}
	case "pop":
		return g.meter.Charge(uint64(n) / movedValues)
	case "remove", "index":
		return g.search(arg, l)
	case "clear":
		return g.meter.Read(valueSize * n)
	}
	if more == 0 {
		return nil
	}
	if err := g.meter.Fits(valueSize * (n + more)); err != nil {
		return err
	}
	return g.meter.Charge(SlotSize * uint64(more))
}

func (g *Guards) dictMethod(name string, d *starlark.Dict, arg starlark.Value) error {
	n := d.Len()
	switch name {
	case "get", "pop":
		return g.meter.Key(d, arg)
	case "setdefault":
		return g.mayAdd(d, arg)
	case "popitem":
		if err := g.meter.Charge(BoxSize); err != nil {
			return err
		}
		return g.first(d)
	case "items":
		if err := g.slots(n); err != nil {
			return err
		}
		return g.meter.Charge(2 * BoxSize * uint64(n))
	case "keys", "values":
		return g.slots(n)
	case "clear":
		return g.clear(d)
	}
	return nil
}

func (g *Guards) setMethod(name string, s *starlark.Set, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if name == "update" && len(kwargs) == 0 {
		return noneIf(g.addAll(s, args...))
	}
	if name == "union" && len(kwargs) == 0 {
		return orNil(g.newSet(append(starlark.Tuple{s}, args...)...))
	}
	switch name {
	case "clear":
		return nil, g.clear(s)
	case "pop":
		return nil, g.first(s)
	}
	if len(args) != 1 || len(kwargs) > 0 {
		return nil, nil
	}
	switch name {
	case "add":
		return nil, g.mayAdd(s, args[0])
	case "discard", "remove":
		return nil, g.meter.Key(s, args[0])
	case "difference", "intersection", "symmetric_difference":
		return g.combine(name, s, args[0])
	case "issubset", "issuperset":
		return nil, g.lookups(s, args[0])
	}
	return nil, nil
}

// mayAdd charges for inserting k into a dict or set, as if it were not in it yet.
func (g *Guards) mayAdd(to, k starlark.Value) error {
	if err := g.meter.NewKey(to, k); err != nil {
		return err
	}
	return g.entries(1, starlark.Len(to))
}

// first charges for deleting the first key of a dict or set.
func (g *Guards) first(of starlark.Iterable) error {
	for k := range starlark.Elements(of) {
		return g.meter.Key(of, k)
	}
	return nil
}

// clear charges for clearing all buckets of a dict or set.
func (g *Guards) clear(of starlark.Value) error {
	if starlark.Len(of) == 0 {
		return nil
	}
	return g.meter.Read(bucketSize * Buckets(of))
}

// lookups charges for looking up all elements of v in s, which allocates memory to count
// them.
func (g *Guards) lookups(s *starlark.Set, v starlark.Value) error {
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil
	}
	if err := g.meter.Charge(SlotSize * uint64(Buckets(s))); err != nil {
		return err
	}
	for e := range starlark.Elements(it) {
		if err := g.meter.Charge(visitSteps); err != nil {
			return err
		}
		if err := g.meter.Key(s, e); err != nil {
			return err
		}
	}
	return nil
}
