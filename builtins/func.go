package builtins

import (
	"fmt"
	"reflect"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
)

// A Func is a builtin function, made by [New]. It belongs to no evaluation: any number of
// evaluations can use it, even concurrently.
//
// Its signature is data (L8): the argument check, the reference, the type stubs and the
// language server all read it.
type Func struct {
	Name   string // the name that files call, such as "application" or "yaml.decode"
	Doc    string // Markdown; the first sentence is the summary
	Params []Param
	Result string // the type of the result, such as "service"; "None" for none
	// Lenient is for functions that only declare something: they are called even with
	// wrong arguments, which then have their defaults, so that one evaluation finds all
	// mistakes (L3). Further errors about these arguments are dropped.
	Lenient bool

	sets     []setter
	byName   map[string]int
	plain    int    // how many parameters can be positional
	rest     int    // index of the *parameter, or -1
	required uint64 // bit i: parameter i is required
	call     func(*Call, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)
	err      error // in the declaration itself; reported when f is used
}

// A setter stores an argument in its field of the struct a.
type setter func(a reflect.Value, v starlark.Value) *explain.Error

// A Param is one parameter of a [Func].
type Param struct {
	Name     string
	Type     string // such as "str", "list[port]", "stage | str"
	Default  string // Starlark source; empty: the parameter is required
	Help     string
	Choices  []string // the allowed strings; empty: any string
	Keyword  bool     // keyword-only
	Variadic bool     // takes all further positional arguments
	// Tag has all tags of the field, for facts about the parameter that only the program
	// that declares it uses.
	Tag reflect.StructTag
}

// Required reports whether a call must pass the parameter.
func (p Param) Required() bool { return p.Default == "" && !p.Variadic }

// New returns a builtin with that name and result type, such as "dict[str, str]" or
// "None". Its doc is Markdown; the first sentence is the summary. The struct type A is
// the signature. Each exported field of A is a parameter, in this order, described by its
// tags:
//
//	Name string `arg:"name" help:"unique in the pipeline"`
//	Port int    `arg:"port,kw" default:"8080" help:"where it listens"`
//
// "kw" makes this parameter and all that follow keyword-only, and "*name" takes all
// further positional arguments. default is Starlark source; a parameter without it is
// required. type replaces the name of the type in documentation and messages, and choices
// lists the possible strings for editors, as "a|b".
//
// Fields can be string, int, bool, float64, pointers to these (None is nil), []string,
// map[string]string, starlark.Value, any type that implements starlark.Value, slices of
// such types, or types whose pointer implements starlark.Unpacker. The fields of an
// embedded struct become parameters at its position.
//
// If a call does not match the signature, fn is not called, and the error names the
// argument, points at it and suggests names. fn returns an error of [Call.Errorf], or any
// other error, which is then about the call. A mistake in A itself is an error of every
// call.
//
// fn may be called concurrently, by evaluations that each run on their own goroutine. It
// must not retain or modify lists and dicts among its arguments: they belong to the
// caller. Its result counts toward the limits of the evaluation (L4). fn must bound
// everything else that it uses, such as time, itself, with a context that it was created
// with.
func New[A any](name, result, doc string, fn func(*Call, *A) (starlark.Value, error)) *Func {
	f := &Func{Name: name, Doc: doc, Result: result, rest: -1}
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

// Has reports whether f has the parameter, ignoring the one that takes further positional
// arguments.
func (f *Func) Has(param string) bool {
	i, ok := f.byName[param]
	return ok && i != f.rest
}

// Param returns the parameter of that name, or the zero Param if f has none.
func (f *Func) Param(name string) Param {
	i, ok := f.byName[name]
	if !ok {
		return Param{}
	}
	return f.Params[i]
}

// declare reads the parameters of f from the struct v and stores the defaults in it.
func (f *Func) declare(v reflect.Value) error {
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("builtin %s: arguments are %s, want a struct", f.Name, v.Type())
	}
	n := countFields(v.Type())
	f.Params, f.sets, f.byName = make([]Param, 0, n), make([]setter, 0, n), make(map[string]int, n)
	keyword := false
	if err := f.fields(v, nil, &keyword); err != nil {
		return fmt.Errorf("builtin %s: %w", f.Name, err)
	}
	if len(f.Params) > 64 {
		return fmt.Errorf("builtin %s: %d parameters, at most 64 are possible", f.Name, len(f.Params))
	}
	return nil
}

// countFields returns the number of parameters that the fields of a struct type are.
func countFields(t reflect.Type) int {
	n := t.NumField()
	for i := range t.NumField() {
		if field := t.Field(i); field.Anonymous && field.Type.Kind() == reflect.Struct {
			n += countFields(field.Type) - 1
		}
	}
	return n
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
		p := Param{Name: name, Type: field.Tag.Get("type"), Default: field.Tag.Get("default"), Help: field.Tag.Get("help"), Tag: field.Tag}
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
		set, typ, err := convert.For(field.Type, p.Variadic)
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
				return fmt.Errorf("default of %s: %s", p.Name, pr.Msg)
			}
		}
		if !p.Keyword && !p.Variadic {
			f.plain = len(f.Params) + 1
		}
		if p.Required() {
			f.required |= 1 << len(f.Params)
		}
		f.byName[p.Name] = len(f.Params)
		f.Params = append(f.Params, p)
		f.sets = append(f.sets, func(a reflect.Value, val starlark.Value) *explain.Error {
			return set(a.FieldByIndex(at).Addr().Interface(), val)
		})
	}
	return nil
}

// literal evaluates a default: a literal, or an empty list or dict. It does not use the
// compiler, and for most defaults not even the parser, because it runs at every start of
// the program.
func literal(text string) (starlark.Value, error) {
	switch strings.ReplaceAll(text, " ", "") {
	case "True":
		return starlark.True, nil
	case "False":
		return starlark.False, nil
	case "[]":
		return starlark.NewList(nil), nil
	case "{}":
		return starlark.NewDict(0), nil
	}
	e, err := (&syntax.FileOptions{}).ParseExpr("default", text, 0)
	if err != nil {
		return nil, err
	}
	if e, ok := e.(*syntax.Literal); ok {
		switch v := e.Value.(type) {
		case string:
			return starlark.String(v), nil
		case int64:
			return starlark.MakeInt64(v), nil
		case float64:
			return starlark.Float(v), nil
		}
	}
	return nil, fmt.Errorf("%s is not a literal, an empty list or an empty dict", text)
}

// Signature returns the signature of f as the reference shows it:
// "port(number, *, name=None)".
func (f *Func) Signature() string {
	var b strings.Builder
	f.WriteParams(&b, func(p Param) {
		b.WriteString(p.Name)
		if p.Default != "" {
			b.WriteString("=" + p.Default)
		}
	})
	return f.Name + "(" + b.String() + ")"
}

// WriteParams writes the parameters to b, calling one for each, with stars and commas
// between them.
func (f *Func) WriteParams(b *strings.Builder, one func(Param)) {
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

// Bind returns f as a Starlark value that belongs to an evaluation.
func (f *Func) Bind(s Session) *starlark.Builtin {
	return starlark.NewBuiltin(f.Name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if f.err != nil {
			return nil, f.err
		}
		if err := s.Enter(f, args, kwargs); err != nil {
			return nil, err
		}
		v, err := f.call(&Call{Thread: th, Func: f, session: s, kwargs: kwargs}, args, kwargs)
		if err == nil {
			err = s.Leave(v)
		}
		return v, err
	})
}
