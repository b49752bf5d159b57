package interp

import (
	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/builtins"
)

// container is the check of the methods of lists, dicts and sets.
func (g *guards) container(name string, recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) error {
	var arg starlark.Value = starlark.None
	if len(args) > 0 {
		arg = args[0]
	}
	switch recv := recv.(type) {
	case *starlark.List:
		return g.listMethod(name, recv, arg)
	case *starlark.Dict:
		return g.dictMethod(name, recv, arg, len(kwargs))
	case *starlark.Set:
		return g.setMethod(name, recv, arg)
	}
	return nil
}

func (g *guards) listMethod(name string, l *starlark.List, arg starlark.Value) error {
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
		if err := g.meter.Charge(uint64(n) / 4); err != nil { // they move
			return err
		}
	case "pop":
		return g.meter.Charge(uint64(n) / 4)
	case "remove", "index":
		return g.search(arg, l)
	case "clear":
		return g.meter.Look(16 * n)
	}
	if more == 0 {
		return nil
	}
	if err := g.meter.Fits(16 * (n + more)); err != nil {
		return err
	}
	return g.meter.Charge(builtins.SlotSize * uint64(more))
}

func (g *guards) dictMethod(name string, d *starlark.Dict, arg starlark.Value, kwargs int) error {
	n := d.Len()
	switch name {
	case "get", "pop":
		return g.meter.Hash(arg)
	case "setdefault":
		return g.insert(d, arg)
	case "popitem":
		return g.meter.Charge(builtins.BoxSize)
	case "items":
		if err := g.slots(n); err != nil {
			return err
		}
		return g.meter.Charge(2 * builtins.BoxSize * uint64(n))
	case "keys", "values":
		return g.slots(n)
	case "clear":
		return g.meter.Look(16 * n)
	case "update":
		if err := g.entries(kwargs, n); err != nil {
			return err
		}
		return g.pairs(arg, n)
	}
	return nil
}

func (g *guards) setMethod(name string, s *starlark.Set, arg starlark.Value) error {
	switch name {
	case "add":
		return g.insert(s, arg)
	case "discard", "remove":
		return g.meter.Hash(arg)
	case "clear":
		return g.meter.Look(16 * s.Len())
	case "pop":
		return nil
	}
	if name != "update" {
		if err := g.meter.Charge(builtins.DictSize); err != nil {
			return err
		}
		if err := g.elements(s, 0); err != nil {
			return err
		}
	}
	return g.elements(arg, s.Len())
}

// insert counts the insertion of k into a dict or set.
func (g *guards) insert(into starlark.Value, k starlark.Value) error {
	if g.chains == nil {
		g.chains = chains{}
	}
	if err := g.key(g.chains, into, k); err != nil {
		return err
	}
	return g.entries(1, starlark.Len(into))
}

// chains are how many keys of a dict or set have the same hash, where that can be
// more than bad luck: of texts it takes a lot of work to find such keys, but of
// numbers and tuples it takes none.
type chains map[chain]*link

type chain struct {
	of   starlark.Value // nil: something that is being made
	hash uint32
}

type link struct {
	n    uint64
	last starlark.Value
}

// key counts the hashing of k and its comparison with keys of the same hash.
func (g *guards) key(seen chains, of, k starlark.Value) error {
	if err := g.meter.Hash(k); err != nil {
		return err
	}
	switch x := k.(type) {
	case starlark.Int:
		if i, ok := x.Int64(); ok && i == int64(int32(i)) {
			return nil
		}
	case starlark.Float, starlark.Tuple:
	default:
		return nil
	}
	h, err := k.Hash()
	if err != nil {
		return nil // the operation says it, too
	}
	l := seen[chain{of, h}]
	if l == nil {
		l = &link{}
		seen[chain{of, h}] = l
	}
	if l.last != nil {
		if same, err := starlark.Equal(l.last, k); err == nil && same {
			return nil
		}
	}
	l.n, l.last = l.n+1, k
	return g.meter.Charge(8 * l.n)
}

// elements counts the insertion of what is in v into a set, or into the keys of
// a dict, of n entries.
func (g *guards) elements(v starlark.Value, n int) error {
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil
	}
	if k := starlark.Len(v); k >= 0 {
		if err := g.entries(k, 0); err != nil {
			return err
		}
	}
	seen := chains{}
	for e := range starlark.Elements(it) {
		n++
		if err := g.key(seen, nil, e); err != nil {
			return err
		}
		if starlark.Len(v) < 0 {
			if err := g.entries(1, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// pairs counts the insertion of the entries of a dict, or of pairs, into a dict of n entries.
func (g *guards) pairs(v starlark.Value, n int) error {
	if d, ok := v.(*starlark.Dict); ok {
		return g.elements(d, n)
	}
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil
	}
	seen := chains{}
	for e := range starlark.Elements(it) {
		n++
		var k starlark.Value = starlark.None
		if pair, ok := e.(starlark.Indexable); ok && pair.Len() > 0 {
			k = pair.Index(0)
		}
		if err := g.key(seen, nil, k); err != nil {
			return err
		}
		if err := g.entries(1, n); err != nil {
			return err
		}
	}
	return nil
}
