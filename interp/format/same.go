package format

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/syntax"
)

// dialect allows everything that the parser supports: the source has been checked already.
var dialect = syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true, While: true, Recursion: true}

// same returns an error if two sources are not the same program with the same comments.
func same(name string, before, after []byte) error {
	was, err := shapeOf(name, before)
	if err != nil {
		return failure(name, err.Error())
	}
	is, err := shapeOf(name, after)
	if err != nil {
		return failure(name, "the result is invalid: "+err.Error())
	}
	if was.program != is.program {
		return failure(name, "the result is a different program")
	}
	if !slices.Equal(was.comments, is.comments) {
		return failure(name, "a comment would be lost")
	}
	return nil
}

// A shape is a program without its layout.
type shape struct {
	program  [sha256.Size]byte // a digest: the tokens of a program take much more memory than its source
	comments []string          // sorted
}

func shapeOf(name string, text []byte) (shape, error) {
	tree, err := dialect.Parse(name, text, syntax.RetainComments)
	if err != nil {
		return shape{}, err
	}
	w := walker{sum: sha256.New(), fields: map[reflect.Type][]int{}}
	w.add(reflect.ValueOf(tree.Stmts))
	w.note(tree)
	slices.Sort(w.comments)
	out := shape{comments: w.comments}
	w.sum.Write(w.words)
	w.sum.Sum(out.program[:0])
	return out, nil
}

// A walker walks the syntax tree of a program.
type walker struct {
	sum      hash.Hash
	words    []byte // not yet in sum
	comments []string
	fields   map[reflect.Type][]int // the significant fields, by node type
}

func (w *walker) word(text string) {
	w.words = append(append(w.words, text...), 0)
	if len(w.words) > 1<<15 {
		w.sum.Write(w.words)
		w.words = w.words[:0]
	}
}

var position = reflect.TypeFor[syntax.Position]()

// add adds all significant parts below v. Positions, parentheses and the
// spelling of literals are not significant.
func (w *walker) add(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			w.word("nil")
			return
		}
		w.add(v.Elem())
	case reflect.Pointer:
		n := v.Interface().(syntax.Node)
		w.note(n)
		switch n := n.(type) {
		case *syntax.ParenExpr:
			w.add(reflect.ValueOf(n.X))
		case *syntax.Literal:
			w.word(n.Token.String())
			w.word(literal(n.Value))
		case *syntax.Ident:
			w.word("name")
			w.word(n.Name)
		default:
			w.add(v.Elem())
		}
	case reflect.Slice:
		w.word(v.Type().String())
		w.word(strconv.Itoa(v.Len()))
		for i := range v.Len() {
			w.add(v.Index(i))
		}
	case reflect.Struct:
		w.word(v.Type().Name())
		for _, i := range w.fieldsOf(v.Type()) {
			w.add(v.Field(i))
		}
	default: // a Token, a bool
		w.word(fmt.Sprintf("%#v", v.Interface()))
	}
}

// literal returns the value of a literal, prefixed with its length, because it
// can contain any byte.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Itoa(len(v)) + " " + v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprint(v)
}

func (w *walker) fieldsOf(t reflect.Type) []int {
	list, ok := w.fields[t]
	if !ok {
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && f.Type != position && f.Name != "Function" {
				list = append(list, i)
			}
		}
		w.fields[t] = list
	}
	return list
}

// note adds the comments of a node.
func (w *walker) note(n syntax.Node) {
	c := n.Comments()
	if c == nil {
		return
	}
	for _, list := range [][]syntax.Comment{c.Before, c.Suffix, c.After} {
		for _, one := range list {
			w.comments = append(w.comments, strings.TrimSpace(one.Text))
		}
	}
}
