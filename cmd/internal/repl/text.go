package repl

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/plan"
)

// A text is source to evaluate, with the origin of each line.
type text struct {
	lines []string
	from  []plan.Pos // of each line; File "" if it was generated
}

func (t *text) String() string { return strings.Join(t.lines, "\n") + "\n" }

func (t *text) add(line string, from plan.Pos) {
	t.lines = append(t.lines, line)
	t.from = append(t.from, from)
}

// addAll adds the lines of an input or a file.
func (t *text) addAll(input, file string) {
	for i, line := range strings.Split(strings.TrimSuffix(input, "\n"), "\n") {
		t.add(line, plan.Pos{File: file, Line: i + 1})
	}
}

func inputName(n int) string { return fmt.Sprintf("[%d]", n) }

// show adds an input, and prints the value of the expression that it ends with.
// The expression keeps its lines and columns.
func (t *text) show(input string, number int) {
	first := len(t.lines)
	t.addAll(input, inputName(number))
	f, err := dialect.Parse("", input, 0)
	if err != nil || len(f.Stmts) == 0 {
		return // evaluation reports the error
	}
	last := f.Stmts[len(f.Stmts)-1]
	start, end := last.Span()
	if _, ok := last.(*syntax.ExprStmt); !ok || start.Col != 1 {
		return
	}
	if n := len(f.Stmts) - 2; n >= 0 {
		if _, before := f.Stmts[n].Span(); before.Line == start.Line {
			return
		}
	}
	t.insert(first+int(end.Line), ")))")
	t.insert(first+int(start.Line)-1, "_repl_show(repr((")
}

// insert inserts a generated line before line i.
func (t *text) insert(i int, line string) {
	t.lines = slices.Insert(t.lines, i, line)
	t.from = slices.Insert(t.from, i, plan.Pos{})
}

// explain rewrites the positions of an error to those of the inputs.
func (t *text) explain(name string, err error) error {
	var wrong *interp.Error
	if !errors.As(err, &wrong) {
		return err
	}
	out := *wrong
	out.Diagnostics = nil
	for _, d := range wrong.Diagnostics {
		d.Pos = t.written(name, d.Pos)
		d.Related, d.Stack = slices.Clone(d.Related), slices.Clone(d.Stack)
		for i := range d.Related {
			d.Related[i].Pos = t.written(name, d.Related[i].Pos)
		}
		for i := range d.Stack {
			d.Stack[i].Pos = t.written(name, d.Stack[i].Pos)
		}
		d.Stack = slices.DeleteFunc(d.Stack, func(f plan.Frame) bool { return f.Pos.File == "" })
		out.Diagnostics = append(out.Diagnostics, d)
	}
	return &out
}

// locate rewrites every position in a value.
func (t *text) locate(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			t.locate(name, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			t.locate(name, v.Index(i))
		}
	case reflect.Struct:
		if pos, ok := v.Interface().(plan.Pos); ok {
			v.Set(reflect.ValueOf(t.written(name, pos)))
			return
		}
		for i := range v.NumField() {
			t.locate(name, v.Field(i))
		}
	default: // cannot contain a position
	}
}

// written returns the original position of pos.
func (t *text) written(name string, pos plan.Pos) plan.Pos {
	if pos.File != name || pos.Line < 1 || pos.Line > len(t.from) {
		return pos
	}
	from := t.from[pos.Line-1]
	return plan.Pos{File: from.File, Line: from.Line, Col: pos.Col}
}
