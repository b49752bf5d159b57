package bounded

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"go.starlark.net/starlark"
)

// A method is a bound method of a built-in type that is checked before it is called.
type method struct {
	*starlark.Builtin
	g     *Guards
	check methodCheck
	once  bool // not visible to the program: it is called once, and can be reused
}

// CallInternal checks the call, and then calls the method.
func (m *method) CallInternal(th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	before := m.g.meter.Steps()
	if v, err := m.check(m.g, m.Receiver(), args, kwargs); v != nil || err != nil {
		return v, err
	}
	if m.Name() == "rsplit" && len(args) == 2 {
		// It allocates as many parts as are requested.
		if n, err := starlark.AsInt32(args[1]); err == nil {
			args = starlark.Tuple{args[0], starlark.MakeInt(min(n, starlark.Len(m.Receiver())))}
		}
	}
	v, err := m.g.meter.Await(before, m.Builtin, th, args, kwargs)
	if m.once { // its name is still needed, if there is an error
		m.g.methods = append(m.g.methods, m)
	}
	if s, ok := v.(starlark.String); ok { // case mapping can make a string longer
		if err := m.g.meter.Fits(len(s)); err != nil {
			return nil, err
		}
	}
	return v, err
}

// attr returns x.name. check is the check of that method.
func (g *Guards) attr(x starlark.Value, name string, check methodCheck, once bool) (starlark.Value, error) {
	switch x := x.(type) {
	case starlark.String, *starlark.List, *starlark.Dict, *starlark.Set, starlark.Bytes:
		m, err := g.method(x.(starlark.HasAttrs), name, check, once)
		if err != nil {
			return nil, err
		}
		return m, nil
	case starlark.HasAttrs:
		v, err := x.Attr(name)
		if v != nil || err != nil {
			return v, err
		}
	}
	return nil, noMethod(x, name)
}

func (g *Guards) method(x starlark.HasAttrs, name string, check methodCheck, once bool) (*method, error) {
	v, err := x.Attr(name)
	if err != nil {
		return nil, err
	}
	inner, ok := v.(*starlark.Builtin)
	if !ok {
		return nil, noMethod(x, name)
	}
	if err := g.meter.Charge(BoxSize); err != nil {
		return nil, err
	}
	if n := len(g.methods); once && n > 0 {
		m := g.methods[n-1]
		g.methods = g.methods[:n-1]
		m.Builtin, m.check = inner, check
		return m, nil
	}
	return &method{Builtin: inner, g: g, check: check, once: once}, nil
}

func noMethod(x starlark.Value, name string) error {
	return fmt.Errorf("%s has no .%s field or method", x.Type(), name)
}

// scan is for methods of strings that scan the string at most once for each argument.
func (g *Guards) scan(recv starlark.Value, args starlark.Tuple, _ []starlark.Tuple) error {
	s, ok := recv.(starlark.String)
	if !ok {
		return nil
	}
	n := SlotSize + len(s)
	for _, arg := range args {
		switch arg := arg.(type) {
		case starlark.String:
			// strip searches its argument for each character.
			n += len(arg) + len(s)/256*len(arg)
		case starlark.Tuple:
			if err := g.meter.Charge(uint64(len(arg))); err != nil {
				return err
			}
			for _, e := range arg {
				if e, ok := e.(starlark.String); ok {
					if err := g.meter.Read(min(len(s), len(e))); err != nil {
						return err
					}
				}
			}
		}
	}
	// The result can be as long as the string.
	return g.meter.Charge(uint64(n))
}

func (g *Guards) split(recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) error {
	s, ok := recv.(starlark.String)
	if !ok {
		return nil
	}
	if err := g.meter.Read(readBytes + len(s)); err != nil {
		return err
	}
	n := 0
	var sep starlark.Value
	if len(args) > 0 {
		sep = args[0]
	}
	switch sep := sep.(type) {
	case starlark.String:
		if sep != "" {
			n = strings.Count(string(s), string(sep)) + 1
		}
	case starlark.Bool: // of splitlines
		n = strings.Count(string(s), "\n") + 1
	default:
		var err error
		if n, err = g.fields(string(s)); err != nil {
			return err
		}
		n = max(n, strings.Count(string(s), "\n")+1)
	}
	if err := g.meter.Fits(valueSize * n); err != nil {
		return err
	}
	return g.meter.Charge(BoxSize + partSize*uint64(n))
}

// fields returns the number of words in s.
func (g *Guards) fields(s string) (n int, err error) {
	in := false
	for i, r := range s {
		if i%(1<<16) == 0 {
			if err := g.meter.Charge(1); err != nil {
				return n, err
			}
		}
		space := unicode.IsSpace(r)
		if !space && !in {
			n++
		}
		in = !space
	}
	return n, nil
}

func (g *Guards) join(recv starlark.Value, args starlark.Tuple, _ []starlark.Tuple) error {
	sep, ok := recv.(starlark.String)
	if !ok || len(args) != 1 {
		return nil
	}
	sum := text{meter: g.meter}
	if list, ok := args[0].(starlark.Indexable); ok {
		for i := range list.Len() {
			sum.part(list.Index(i), len(sep))
		}
		return sum.joined(len(sep))
	}
	return g.joinElements(args[0], len(sep))
}

// joinElements is join for values that can only be iterated. It is separate, so that join
// does not allocate.
func (g *Guards) joinElements(v starlark.Value, sep int) error {
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil
	}
	sum := text{meter: g.meter}
	for e := range starlark.Elements(it) {
		if sum.part(e, sep); sum.err == nil {
			sum.err = g.meter.Charge(visitSteps) // it is iterated twice
		}
		if sum.err != nil {
			break
		}
	}
	return sum.joined(sep)
}

func (g *Guards) replace(recv starlark.Value, args starlark.Tuple, _ []starlark.Tuple) error {
	s, ok := recv.(starlark.String)
	if !ok || len(args) < 2 {
		return nil
	}
	before, ok1 := args[0].(starlark.String)
	after, ok2 := args[1].(starlark.String)
	if !ok1 || !ok2 {
		return nil
	}
	if err := g.meter.Read(len(s)); err != nil {
		return err
	}
	n := strings.Count(string(s), string(before)) // of "" as many as there are positions between characters
	if len(args) == 3 {
		if most, err := starlark.AsInt32(args[2]); err == nil && most >= 0 {
			n = min(n, most)
		}
	}
	return g.meter.Make(SlotSize + len(s) + n*(len(after)-len(before)))
}

// elems is for iterables over strings. They are no larger than the string, but a list of
// one takes a slot for each byte, and the length of the iterable is not known.
func (g *Guards) elems(recv starlark.Value, _ starlark.Tuple, _ []starlark.Tuple) error {
	return g.meter.Charge(uint64(BoxSize + SlotSize*max(starlark.Len(recv), 0)))
}

// shortArgs returns an upper bound of the length of each of args as a string, if they are
// short and need not be traversed.
func shortArgs(args starlark.Tuple) (most int, ok bool) {
	for _, v := range args {
		switch v := v.(type) {
		case starlark.String:
			if len(v) > 100 {
				return 0, false
			}
			most = max(most, len(v))
		case starlark.Int:
			if _, small := v.Int64(); !small {
				return 0, false
			}
			most = max(most, 20)
		default:
			return 0, false
		}
	}
	return most, true
}

// format charges for the output of each field of the format.
func (g *Guards) format(recv starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) error {
	s, ok := recv.(starlark.String)
	if !ok {
		return nil
	}
	if len(kwargs) == 0 && len(s) < 256 {
		if most, ok := shortArgs(args); ok { // the common case
			return g.meter.Make(SlotSize + len(s) + strings.Count(string(s), "{")*(4+most))
		}
	}
	for _, v := range args {
		if err := g.shown("format", v); err != nil {
			return err
		}
	}
	for _, kv := range kwargs {
		if err := g.shown("format", kv[1]); err != nil {
			return err
		}
	}
	sum := text{meter: g.meter, n: len(s)}
	auto := 0
	for rest := string(s); sum.err == nil; {
		var field string
		var ok bool
		if _, rest, ok = strings.Cut(rest, "{"); !ok {
			break
		}
		if strings.HasPrefix(rest, "{") {
			rest = rest[1:]
			continue
		}
		if field, rest, ok = strings.Cut(rest, "}"); !ok {
			break
		}
		if i := strings.IndexAny(field, "!:"); i >= 0 {
			field = field[:i]
		}
		// Names of the same length are compared byte by byte, here and by the
		// interpreter.
		if err := g.meter.Charge(uint64(visitSteps + len(kwargs)*(2+len(field)/64))); err != nil {
			return err
		}
		i := -1
		if field == "" {
			i = auto
			auto++
		} else if field[0] >= '0' && field[0] <= '9' {
			if n, err := strconv.Atoi(field); err == nil {
				i = n
			}
		}
		if i >= 0 && i < len(args) {
			sum.add(args[i])
			continue
		}
		for _, kv := range kwargs {
			if name, _ := kv[0].(starlark.String); string(name) == field {
				sum.add(kv[1])
				break
			}
		}
	}
	return sum.made()
}

// count returns the number of elements of x, and charges a step for each.
func (g *Guards) count(x starlark.Iterable) (int, error) {
	n := starlark.Len(x)
	if n >= 0 {
		return n, g.meter.Charge(uint64(n))
	}
	return g.countElements(x)
}

func (g *Guards) countElements(x starlark.Iterable) (n int, err error) {
	for range starlark.Elements(x) {
		if n++; n%1024 == 0 {
			if err := g.meter.Charge(1024); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}
