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

// A Func is a builtin function, made by [New]. It belongs to no evaluation: one
// can be given to any number of them, also concurrently.
//
// Its signature is data (L8): the argument check, the reference, the type stubs and the
// language server all read it.
type Func struct {
	Name   string // as it is called, such as "application" or "yaml.decode"
	Doc    string // Markdown; the first sentence is the summary
	Params []Param
	Result string // the type of the result, such as "service"; "None" for none
	// Lenient is for functions that only declare something: with wrong arguments, which then
	// have their defaults, they are called all the same, so that one evaluation finds all
	// mistakes (L3). Further errors about these arguments are dropped.
	Lenient bool

	sets   []func(a reflect.Value, v starlark.Value) *explain.Error
	byName map[string]int
	plain  int // how many parameters can be given by position
	rest   int // index of the *parameter, or -1
	call   func(*Call, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)
	err    error // of the declaration itself, shown when f is used
}

// A Param is one parameter of a [Func].
type Param struct {
	Name     string
	Type     string // such as "str", "list[port]", "stage | str"
	Default  string // Starlark text; empty: the parameter is required
	Help     string
	Choices  []string // the strings that are possible; none: any
	Keyword  bool     // by keyword only
	Variadic bool     // takes all further positional arguments
}

// Required reports whether a call must give the parameter.
func (p Param) Required() bool { return p.Default == "" && !p.Variadic }

// New returns a builtin with that name and result type, such as "dict[str, str]"
// or "None". Its doc is Markdown, of which the first sentence is the summary.
// The struct type A is the signature. Each exported field of A is a parameter,
// in this order, described by its tags:
//
//	Name string `arg:"name" help:"unique in the pipeline"`
//	Port int    `arg:"port,kw" default:"8080" help:"where it listens"`
//
// "kw" makes it and all that follow keyword-only, "*name" takes all further
// positional arguments, default is Starlark text, type replaces the type's name
// in texts, and choices lists for editors the texts that are possible, as "a|b".
// A parameter without default must be given.
//
// Fields can be string, int, bool, float64, pointers to these (None is nil),
// []string, map[string]string, starlark.Value, any type that implements
// starlark.Value, slices of such types, or types whose pointer implements
// starlark.Unpacker. An embedded struct adds its parameters in its place.
//
// A call that does not fit is an error that names the argument, points at it,
// and suggests names; fn is not called then. fn returns an error of [Call.Errorf]
// or any other, which is about the call. A mistake in A itself is an error of
// every call.
//
// Evaluations at once call fn at once, each on a goroutine of its own. It does not
// keep or change lists and dicts among its arguments, which are the caller's. What it
// returns counts as made by the evaluation (L4); what it takes besides, such as
// time, is its own to bound, by a context that it was made with.
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

// Has reports whether f has the parameter, other than one that takes further positional
// arguments.
func (f *Func) Has(param string) bool {
	i, ok := f.byName[param]
	return ok && i != f.rest
}

// Param returns the parameter of that name, or an empty one if f has none.
func (f *Func) Param(name string) Param {
	i, ok := f.byName[name]
	if !ok {
		return Param{}
	}
	return f.Params[i]
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
		f.byName[p.Name] = len(f.Params)
		f.Params = append(f.Params, p)
		f.sets = append(f.sets, func(a reflect.Value, val starlark.Value) *explain.Error {
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
	f.WriteParams(&b, func(p Param) {
		b.WriteString(p.Name)
		if p.Default != "" {
			b.WriteString("=" + p.Default)
		}
	})
	return f.Name + "(" + b.String() + ")"
}

// WriteParams writes the parameters to b, each with one, and the stars and commas between
// them.
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
