package builtins

import (
	"fmt"
	"reflect"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/bounded"
)

// A Func is a builtin function. Its signature is data (L8): the argument check,
// the reference, the stubs and the language server all read it. Make one with
// [New].
type Func struct {
	Name   string // as it is called, such as "application" or "yaml.decode"
	Doc    string // Markdown; the first sentence is the summary
	Params []Param
	Result string // the type of the result, such as "service"; "None" for none

	sets    []func(a reflect.Value, v starlark.Value) *problem
	byName  map[string]int
	plain   int // how many parameters can be given by position
	rest    int // index of the *parameter, or -1
	lenient bool
	call    func(*Call, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)
	err     error // of the declaration itself, shown when f is used
}

// A Param is one parameter of a Func.
type Param struct {
	Name     string
	Type     string // such as "str", "list[port]", "stage | str"
	Default  string // Starlark text; empty: the parameter is required
	Help     string
	Choices  []string // the texts that are possible; none: any
	Keyword  bool     // by keyword only
	Variadic bool     // takes all further positional arguments
}

// Required reports whether a call must give the parameter.
func (p Param) Required() bool { return p.Default == "" && !p.Variadic }

// New returns a builtin whose signature is the struct type A. Each exported
// field of A is a parameter, in this order, described by its tags:
//
//	Name string `arg:"name" help:"unique in the pipeline"`
//	Port int    `arg:"port,kw" default:"8080" help:"where it listens"`
//
// "kw" makes it and all that follow keyword-only, "*name" takes all further positional
// arguments, default is Starlark text, and type replaces the type's name in
// texts; choices names the texts that are possible, as "a|b". Fields can be string, int, bool, float64, pointers to these (None is
// nil), []string, map[string]string, starlark.Value, any type that implements
// starlark.Value, slices of such types, or types whose pointer implements
// starlark.Unpacker. An embedded struct adds its parameters in its place.
//
// A call that does not fit is an error that names the argument, points at it,
// and suggests names; fn is not called then. A mistake in A itself is an error
// of every call.
func New[A any](name, result, doc string, fn func(*Call, *A) (starlark.Value, error)) *Func {
	f := &Func{Name: name, Doc: doc, Result: result, byName: map[string]int{}, rest: -1}
	var start A
	f.err = f.declare(reflect.ValueOf(&start).Elem())
	f.call = func(c *Call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		a := start
		if err := c.bind(reflect.ValueOf(&a).Elem(), args, kwargs); err != nil {
			return nil, err
		}
		return fn(c, &a)
	}
	return f
}

// declare is New for builtins that only declare something: with wrong arguments
// they are called all the same, so that one evaluation finds all mistakes (L3).
// The wrong arguments then have their defaults, and further errors about them
// are dropped.
func declare[A any](name, result, doc string, fn func(*Call, *A) (starlark.Value, error)) *Func {
	f := New(name, result, doc, fn)
	f.lenient = true
	return f
}

// declare reads the parameters of f from the struct v and puts the defaults there.
func (f *Func) declare(v reflect.Value) error {
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("builtin %s: arguments are %s, want a struct", f.Name, v.Type())
	}
	keyword := false
	if err := f.fields(v, nil, &keyword); err != nil {
		return fmt.Errorf("builtin %s: %w", f.Name, err)
	}
	if len(f.Params) > 64 {
		return fmt.Errorf("builtin %s: %d parameters, at most 64 are possible", f.Name, len(f.Params))
	}
	return nil
}

func (f *Func) fields(v reflect.Value, index []int, keyword *bool) error {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		at := append(append([]int(nil), index...), i)
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			if err := f.fields(v.Field(i), at, keyword); err != nil {
				return err
			}
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("arg"), ",")
		if name == "" || !field.IsExported() {
			return fmt.Errorf("field %s: no arg tag, or not exported", field.Name)
		}
		p := Param{Name: name, Type: field.Tag.Get("type"), Default: field.Tag.Get("default"), Help: field.Tag.Get("help")}
		if list := field.Tag.Get("choices"); list != "" {
			p.Choices = strings.Split(list, "|")
		}
		if p.Name[0] == '*' {
			p.Name, p.Variadic = p.Name[1:], true
			f.rest, *keyword = len(f.Params), true
		} else {
			*keyword = *keyword || option == "kw"
			p.Keyword = *keyword
		}
		set, typ, err := setterFor(field.Type, p)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		if p.Type == "" {
			p.Type = typ
		}
		if p.Default != "" && p.Default != "None" {
			d, err := literal(p.Default)
			if err != nil {
				return fmt.Errorf("default of %s: %w", p.Name, err)
			}
			if pr := set(v.Field(i).Addr().Interface(), d); pr != nil {
				return fmt.Errorf("default of %s: %s", p.Name, pr.msg)
			}
		}
		if !p.Keyword && !p.Variadic {
			f.plain = len(f.Params) + 1
		}
		f.byName[p.Name] = len(f.Params)
		f.Params = append(f.Params, p)
		f.sets = append(f.sets, func(a reflect.Value, val starlark.Value) *problem {
			return set(a.FieldByIndex(at).Addr().Interface(), val)
		})
	}
	return nil
}

// literal evaluates the text of a default: a literal, an empty list or dict.
// It does without the compiler because it runs at every start of the program.
func literal(text string) (starlark.Value, error) {
	e, err := (&syntax.FileOptions{}).ParseExpr("default", text, 0)
	if err != nil {
		return nil, err
	}
	switch e := e.(type) {
	case *syntax.Literal:
		switch v := e.Value.(type) {
		case string:
			return starlark.String(v), nil
		case int64:
			return starlark.MakeInt64(v), nil
		case float64:
			return starlark.Float(v), nil
		}
	case *syntax.Ident:
		switch e.Name {
		case "True":
			return starlark.True, nil
		case "False":
			return starlark.False, nil
		}
	case *syntax.ListExpr:
		if len(e.List) == 0 {
			return starlark.NewList(nil), nil
		}
	case *syntax.DictExpr:
		if len(e.List) == 0 {
			return starlark.NewDict(0), nil
		}
	}
	return nil, fmt.Errorf("%s is not a literal, an empty list or an empty dict", text)
}

// Signature returns f as it is written in the reference:
// "port(number, *, name=None)".
func (f *Func) Signature() string {
	var b strings.Builder
	f.write(&b, func(p Param) {
		b.WriteString(p.Name)
		if p.Default != "" {
			b.WriteString("=" + p.Default)
		}
	})
	return f.Name + "(" + b.String() + ")"
}

// write writes the parameters through one, with the stars and commas between.
func (f *Func) write(b *strings.Builder, one func(Param)) {
	star := false
	for i, p := range f.Params {
		if i > 0 {
			b.WriteString(", ")
		}
		switch {
		case p.Variadic:
			b.WriteString("*")
			star = true
		case p.Keyword && !star:
			b.WriteString("*, ")
			star = true
		}
		one(p)
	}
}

// value returns f as a Starlark value that belongs to s.
func (f *Func) value(s *Session) *starlark.Builtin {
	return starlark.NewBuiltin(f.Name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if f.err != nil {
			return nil, f.err
		}
		if err := f.charge(s.Meter, args, kwargs); err != nil {
			return nil, err
		}
		return f.call(&Call{Thread: th, Func: f, Session: s, args: len(args), kwargs: kwargs}, args, kwargs)
	})
}

// What a call keeps until the plan is written, in steps.
const (
	declarationKeeps = 256
	serviceKeeps     = 3000
)

// charge counts a call: what it keeps, and a walk through its arguments.
func (f *Func) charge(m *bounded.Meter, args starlark.Tuple, kwargs []starlark.Tuple) error {
	keeps := uint64(bounded.BoxSize)
	if f.lenient {
		keeps = declarationKeeps
	}
	if f.Result == "service" {
		keeps = serviceKeeps
	}
	if err := m.Charge(keeps); err != nil {
		return err
	}
	for _, v := range args {
		if err := m.Walk(v); err != nil {
			return err
		}
	}
	for _, kv := range kwargs {
		if err := m.Walk(kv[1]); err != nil {
			return err
		}
	}
	return nil
}
