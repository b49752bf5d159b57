package builtins

import (
	"fmt"
	"math/bits"
	"reflect"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/internal/misspell"
)

// bind stores the arguments of the call in dst, a struct that already has the defaults.
// It records every mistake. The error, if any, is for builtins that must not continue.
func (c *Call) bind(dst reflect.Value, args starlark.Tuple, kwargs []starlark.Tuple) error {
	f := c.Func
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	set := func(i int, v starlark.Value) {
		c.given |= 1 << i
		if v == starlark.None && f.Params[i].Default == "None" {
			return
		}
		if p := f.sets[i](dst, v); p != nil {
			note(c.report(i, p))
		}
	}
	n := len(args)
	if n > f.plain {
		n = f.plain
		if f.rest >= 0 {
			set(f.rest, args[n:])
		}
	}
	for i, v := range args[:n] {
		set(i, v)
	}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		i, ok := f.byName[name]
		switch {
		case !ok || i == f.rest:
			note(c.unknown(name))
		case c.given&(1<<i) != 0:
			note(c.report(i, explain.Errorf("is given twice")))
		default:
			set(i, kv[1])
		}
	}
	if len(args) > f.plain && f.rest < 0 {
		note(c.tooMany(len(args)))
	}
	for missing := f.required &^ c.given; missing != 0; missing &= missing - 1 {
		note(c.missing(bits.TrailingZeros64(missing)))
	}
	if f.Lenient {
		return nil
	}
	return first
}

func (c *Call) tooMany(got int) error {
	f := c.Func
	p := explain.Errorf("%d positional arguments, at most %d are possible", got, f.plain)
	switch f.plain {
	case 0:
		p = explain.Errorf("every argument is given by its name")
	case 1:
		p = explain.Errorf("%d arguments without a name, one is possible", got)
	}
	if f.plain < len(f.Params) {
		var names []string
		for _, q := range f.Params[f.plain:] {
			names = append(names, q.Name)
		}
		if len(names) > 4 {
			names = append(names[:4], "…")
		}
		p.Hint = "these are given by name: " + strings.Join(names, ", ")
		// Do not report the parameter as missing as well: it is the same mistake.
		if next := f.Params[f.plain]; got == f.plain+1 && next.Required() && c.given&(1<<f.plain) == 0 {
			p.Hint = "write " + next.Name + " = …"
			c.given |= 1 << f.plain
			c.failed |= 1 << f.plain
		}
	}
	return c.addSure(c.positionalPos(c.Func.plain, nil), p)
}

func (c *Call) unknown(name string) error {
	var names []string
	for i, p := range c.Func.Params {
		if i != c.Func.rest {
			names = append(names, p.Name)
		}
	}
	p := explain.Errorf("no parameter %q", explain.Clip(name))
	meant, hint := explain.Param(name, names)
	if hint == "" {
		meant = misspell.Nearest(name, names)
		p.Suggest = meant
	}
	if p.Hint = hint; meant != "" {
		// Do not report the parameter as missing, or its default as wrong: it is the same
		// mistake.
		i := c.Func.byName[meant]
		c.given |= 1 << i
		c.failed |= 1 << i
	} else if hint == "" {
		p.Hint = "it takes " + strings.Join(names, ", ")
	}
	return c.addSure(c.namePos(name), p)
}

func (c *Call) missing(i int) error {
	c.failed |= 1 << i
	param := c.Func.Params[i]
	p := explain.Errorf("%s is missing", param.Name)
	p.Hint = fmt.Sprintf("%s is %s", param.Name, param.Help)
	if hint := explain.Missing(c.Func.Name, param.Name, c.Given); hint != "" {
		p.Hint = hint
	}
	return c.addSure(c.Pos(), p)
}
