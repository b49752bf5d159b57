package bounded

import (
	"math/bits"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// A check runs before a function is called.
type check func(args starlark.Tuple, kwargs []starlark.Tuple) error

// universe adds the functions of Starlark that can take long or allocate much to env,
// each with a check.
func (g *Guards) universe(env starlark.StringDict) {
	first := func(f func(v starlark.Value) error) check {
		return func(args starlark.Tuple, kwargs []starlark.Tuple) error {
			if len(args) > 0 {
				return f(args[0])
			}
			for _, kv := range kwargs { // int(x = "1")
				if err := f(kv[1]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	// The functions here do not call the program, except those in tells.
	tells := map[string]bool{"print": true, "fail": true, "warn": true, "dir": true}
	instead := func(name string, f func(args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)) {
		inner, ok := env[name].(*starlark.Builtin)
		if !ok {
			inner = starlark.Universe[name].(*starlark.Builtin)
		}
		env[name] = starlark.NewBuiltin(name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			before := g.meter.Steps()
			if v, err := f(args, kwargs); v != nil || err != nil {
				return v, err
			}
			if tells[name] {
				return inner.CallInternal(th, args, kwargs)
			}
			return g.meter.Await(before, inner, th, args, kwargs)
		})
	}
	guard := func(name string, c check) {
		instead(name, func(args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			return nil, c(args, kwargs)
		})
	}
	guard("all", first(g.through))
	guard("any", first(g.through))
	guard("list", first(g.list))
	guard("tuple", first(g.list))
	guard("reversed", first(g.list))
	guard("enumerate", first(g.rows))
	guard("hash", first(g.meter.Hash))
	guard("ord", first(g.meter.Walk))
	guard("int", first(g.parseInt))
	guard("float", first(func(v starlark.Value) error {
		if err := g.unaryCost(v); err != nil {
			return err
		}
		if s, ok := v.(starlark.String); ok {
			return g.mentioned(s)
		}
		return nil
	}))
	guard("abs", first(g.unaryCost))
	guard("bytes", first(func(v starlark.Value) error {
		if s, ok := v.(starlark.String); ok {
			return g.meter.Make(len(s))
		}
		return g.list(v)
	}))
	guard("print", g.print)
	guard("fail", g.print)
	guard("warn", g.print)
	guard("range", func(starlark.Tuple, []starlark.Tuple) error { return g.meter.Charge(2 * BoxSize) })
	guard("dir", first(func(v starlark.Value) error {
		if s, ok := v.(*starlarkstruct.Struct); ok {
			return g.meter.Charge(dirSteps + partSize*uint64(s.Len()))
		}
		return g.meter.Charge(dirSteps)
	}))
	guard("zip", g.zip)
	instead("set", func(args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if len(args) > 1 || len(kwargs) > 0 {
			return nil, nil
		}
		return orNil(g.newSet(args...))
	})
	instead("dict", func(args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return orNil(g.newDict(args, kwargs))
	})
	guard("struct", func(_ starlark.Tuple, kwargs []starlark.Tuple) error {
		return g.meter.Charge(BoxSize + fieldSize*uint64(len(kwargs)))
	})
	env["sorted"] = g.comparing("sorted", func(n int) uint64 { return uint64(bits.Len(uint(n))) })
	env["min"] = g.comparing("min", func(int) uint64 { return 1 })
	env["max"] = g.comparing("max", func(int) uint64 { return 1 })
	env["getattr"] = g.getattr()
}

// through charges a step for each element.
func (g *Guards) through(v starlark.Value) error {
	if it, ok := v.(starlark.Iterable); ok {
		_, err := g.count(it)
		return err
	}
	return nil
}

// list charges for making a list of v.
func (g *Guards) list(v starlark.Value) error {
	if it, ok := v.(starlark.Iterable); ok {
		n, err := g.count(it)
		if err != nil {
			return err
		}
		return g.slots(n)
	}
	return nil
}

// rows charges for making a list of pairs.
func (g *Guards) rows(v starlark.Value) error {
	if err := g.list(v); err != nil {
		return err
	}
	if it, ok := v.(starlark.Iterable); ok {
		n, err := g.count(it)
		if err != nil {
			return err
		}
		return g.meter.Charge(2 * BoxSize * uint64(n))
	}
	return nil
}

func (g *Guards) zip(args starlark.Tuple, _ []starlark.Tuple) error {
	rows := -1
	for _, v := range args {
		if n := starlark.Len(v); n >= 0 && (rows < 0 || n < rows) {
			rows = n
		}
	}
	for _, v := range args {
		if it, ok := v.(starlark.Iterable); ok && rows < 0 {
			n, err := g.count(it)
			if err != nil {
				return err
			}
			rows = max(rows, n)
		}
	}
	if rows <= 0 {
		return nil
	}
	if err := g.slots(rows); err != nil {
		return err
	}
	return g.meter.Charge(uint64(rows) * uint64(BoxSize+valueSize*len(args)))
}

// parseInt charges for parsing an integer from a string.
func (g *Guards) parseInt(v starlark.Value) error {
	if s, ok := v.(starlark.String); ok {
		return g.meter.Digits(len(s))
	}
	return g.meter.Charge(BoxSize)
}

func (g *Guards) print(args starlark.Tuple, kwargs []starlark.Tuple) error {
	sum := text{meter: g.meter}
	for _, v := range args {
		sum.add(v)
	}
	for _, kv := range kwargs { // sep is written between all arguments
		if s, ok := kv[1].(starlark.String); ok {
			sum.n += len(s) * len(args)
		}
	}
	return sum.made()
}

// comparing returns sorted, min or max. It compares each of n elements about times(n)
// times.
func (g *Guards) comparing(name string, times func(n int) uint64) *starlark.Builtin {
	inner := starlark.Universe[name].(*starlark.Builtin)
	return starlark.NewBuiltin(name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var list starlark.Value = args
		if len(args) == 1 {
			list = args[0]
		}
		for _, kv := range kwargs {
			if kv[0] == starlark.String("iterable") {
				list = kv[1]
			}
		}
		it, ok := list.(starlark.Iterable)
		if !ok {
			return inner.CallInternal(th, args, kwargs)
		}
		n, err := g.count(it)
		if err == nil {
			err = g.slots(4 * n)
		}
		if err != nil {
			return nil, err
		}
		each := times(n)
		byKey := false
		for i, kv := range kwargs {
			key, ok := kv[1].(starlark.Callable)
			if name, _ := kv[0].(starlark.String); name == "key" && ok {
				byKey = true
				kwargs[i] = starlark.Tuple{kv[0], g.compared(key, each)}
			}
		}
		if !byKey {
			before := g.meter.Steps()
			if err := g.compare(it, each); err != nil {
				return nil, err
			}
			return g.meter.Await(before, inner, th, args, kwargs)
		}
		return inner.CallInternal(th, args, kwargs)
	})
}

// compare charges for comparing each element that many times.
func (g *Guards) compare(it starlark.Iterable, times uint64) error {
	list, ok := it.(starlark.Indexable)
	if !ok {
		return g.compareElements(it, times)
	}
	for i := range list.Len() {
		if err := g.meter.Charge(times * (1 + g.meter.CompareSteps(list.Index(i)))); err != nil {
			return err
		}
	}
	return nil
}

func (g *Guards) compareElements(it starlark.Iterable, times uint64) error {
	for v := range starlark.Elements(it) {
		if err := g.meter.Charge(times * (1 + g.meter.CompareSteps(v))); err != nil {
			return err
		}
	}
	return nil
}

// compared returns key, with a charge for comparing its results that many times.
func (g *Guards) compared(key starlark.Callable, times uint64) *starlark.Builtin {
	return starlark.NewBuiltin(key.Name(), func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		v, err := starlark.Call(th, key, args, kwargs)
		if err == nil {
			err = g.meter.Charge(times * (1 + g.meter.CompareSteps(v)))
		}
		return v, err
	})
}

// getattr returns methods that are checked as well.
func (g *Guards) getattr() *starlark.Builtin {
	inner := starlark.Universe["getattr"].(*starlark.Builtin)
	return starlark.NewBuiltin("getattr", func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if len(args) > 1 {
			if err := g.mentioned(args[1]); err != nil {
				return nil, err
			}
		}
		v, err := inner.CallInternal(th, args, kwargs)
		if m, ok := v.(*starlark.Builtin); ok && len(args) > 1 && m.Receiver() != nil {
			name, _ := args[1].(starlark.String)
			if check := checks[string(name)]; check != nil {
				return g.attr(args[0], string(name), check, false)
			}
		}
		return v, err
	})
}
